"""Where the version that a patch was made from can be had when the file has changed since: by its blob name, from what can be undone
here, or from the object store of a git repository around the root. Only reading: no hook, filter or network of that repository comes
into it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from cromwell.apply.blob import is_blob
from cromwell.apply.tree import MAX_FILE_BYTES
from cromwell.contract.errors import CommandError

if TYPE_CHECKING:
    from cromwell.apply.journal import State

WAIT_S = 30.0  # a repository on a slow network disk


class Bases:
    """Versions of files by git's names of them, whole or abbreviated.

    `root` is the folder that is patched, `state` where its undo store is."""

    def __init__(self, root: str, state: State | None = None):
        self.root, self.state = root, state
        self.known: dict[str, bytes | None] = {}

    def find(self, name: str) -> bytes | None:
        """The contents called `name`, or None."""
        if name not in self.known:
            data = self._from_undo(name)
            if data is None:
                data = self._from_git(name)
            self.known[name] = data if data is not None and is_blob(data, name) else None
        return self.known[name]

    def _from_undo(self, name: str) -> bytes | None:
        from cromwell.apply import journal

        for number in reversed(self.state.undo_numbers()) if self.state else ():
            with suppress(CommandError, OSError):  # a damaged entry is told of by --undo
                kept = journal.read(self.state.undo_path(number), "", "")
                for entry in kept.entries if kept else ():
                    if entry.old is not None and is_blob(entry.old, name):
                        return entry.old
        return None

    def _from_git(self, name: str) -> bytes | None:
        size = self._git("-s", name)
        return self._git("blob", name) if size is not None and int(size) <= MAX_FILE_BYTES else None

    def _git(self, how: str, name: str) -> bytes | None:
        import subprocess

        # A partial clone would fetch what it lacks, so no protocol is allowed.
        environment = {**os.environ, "GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1", "GIT_NO_REPLACE_OBJECTS": "1",
                       "GIT_TERMINAL_PROMPT": "0"}
        try:
            result = subprocess.run(["git", "-C", self.root, "cat-file", how, name], stdin=subprocess.DEVNULL, capture_output=True,
                                    env=environment, timeout=WAIT_S, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return result.stdout if result.returncode == 0 else None
