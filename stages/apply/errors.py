"""The two ways in which a patch is turned down, and the exit code where a folder cannot be used."""

from __future__ import annotations

import errno

from cromwell.contract.errors import CommandError


class PatchError(CommandError):
    """The patch is malformed (exit 2)."""


class Refused(CommandError):
    """The patch is well-formed but does not fit the files, or asks for something that is never done (exit 3)."""

    def __init__(self, where_and_what: str, hint: str = ""):
        super().__init__(where_and_what, hint, 3)


_FAULTS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EINTR, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def folder_exit_code(error: OSError) -> int:
    """2 where the name of a folder is at fault, 70 where the machine is."""
    return 70 if error.errno in _FAULTS else 2
