"""The two ways in which a patch is turned down."""

from __future__ import annotations

from cromwell.contract.errors import CommandError


class PatchError(CommandError):
    """The patch is malformed (exit 2)."""


class Refused(CommandError):
    """The patch is well-formed but does not fit the files, or asks for something that is never done (exit 3)."""

    def __init__(self, where_and_what: str, hint: str = ""):
        super().__init__(where_and_what, hint, 3)
