"""The one exception for failures that a user can act on, and the exit code of a system call that failed; light, so that any module may
import it."""

from __future__ import annotations

import errno

_MACHINE = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ESTALE, errno.ETIMEDOUT,
            errno.EINTR)


class CommandError(Exception):
    """A failure the user can act on: `where_and_what` is "WHERE: WHAT", `hint` says what to try, `exit_code` is that of the command."""

    def __init__(self, where_and_what: str, hint: str = "", exit_code: int = 2):
        super().__init__(where_and_what)
        self.where_and_what, self.hint, self.exit_code = where_and_what, hint, exit_code


def exit_code_of(error: OSError) -> int:
    """70 where the machine is at fault, since the same command would do elsewhere or later: a disk that is full or fails, a limit, no
    memory. Else 2: the wrong name, or no permission."""
    return 70 if error.errno in _MACHINE else 2
