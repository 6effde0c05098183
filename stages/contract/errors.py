"""The one exception for failures that a user can act on; free of imports, so that any module may raise it."""

from __future__ import annotations


class CommandError(Exception):
    """A failure the user can act on: `where_and_what` is "WHERE: WHAT", `hint` says what to try, `exit_code` is that of the command."""

    def __init__(self, where_and_what: str, hint: str = "", exit_code: int = 2):
        super().__init__(where_and_what)
        self.where_and_what, self.hint, self.exit_code = where_and_what, hint, exit_code
