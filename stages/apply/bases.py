"""Where the version that a patch was made from can be had when the file has changed since: by its blob name, from the object store of a
git repository around the root. Only reading: no hook, filter or network of that repository comes into it.
"""

from __future__ import annotations

import os
import subprocess

from cromwell.apply.blob import is_blob
from cromwell.apply.tree import MAX_FILE_BYTES

WAIT_S = 30.0  # a repository on a slow network disk


class Bases:
    """Versions of files by git's names of them, whole or abbreviated. `root` is the folder that is patched."""

    def __init__(self, root: str):
        self.root = root
        self.known: dict[str, bytes | None] = {}

    def find(self, name: str) -> bytes | None:
        """The contents called `name`, or None."""
        if name not in self.known:
            data = self._from_git(name)
            self.known[name] = data if data is not None and is_blob(data, name) else None
        return self.known[name]

    def _from_git(self, name: str) -> bytes | None:
        size = self._git("-s", name)
        return self._git("blob", name) if size is not None and int(size) <= MAX_FILE_BYTES else None

    def _git(self, how: str, name: str) -> bytes | None:
        # A partial clone would fetch what it lacks, so no protocol is allowed.
        environment = {**os.environ, "GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1", "GIT_NO_REPLACE_OBJECTS": "1",
                       "GIT_TERMINAL_PROMPT": "0"}
        try:
            result = subprocess.run(["git", "-C", self.root, "cat-file", how, name], stdin=subprocess.DEVNULL, capture_output=True,
                                    env=environment, timeout=WAIT_S, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return result.stdout if result.returncode == 0 else None
