"""From an edit artifact to the two versions of its file."""

from __future__ import annotations

import os
import posixpath
from typing import Any

from cromwell.apply.unified import Version
from cromwell.contract.errors import CommandError


def versions(artifact: Any, name: str, candidate: int | None) -> tuple[bytes, Version, Version]:
    """(path, old, new) of candidate number `candidate` of an edit artifact read from `name`; None is its best one.

    Everything is in the artifact, so no file is read. CommandError (4) when the edit holds no acceptable candidate and none was named."""
    meta, count = artifact.meta, len(artifact.meta["candidates"])
    if candidate is None:
        candidate = meta["best"]
        if candidate is None:
            raise CommandError(f"{name}: no acceptable candidate among {count}", "name one with -n, or generate more", 4)
    elif candidate >= count:
        raise CommandError(f"{name}: no candidate {candidate}, it holds {count}", f"give a number from 0 to {count - 1}" if count else "")
    target, region = artifact.arrays["target"].data, meta["region"]
    replacement = artifact.arrays[f"candidate.{candidate}"].data
    executable = bool(int(meta["mode"], 8) & 0o100)
    old = Version(target, executable)
    new = Version(target[:region["start_byte"]] + replacement + target[region["end_byte"]:], executable)
    return diff_path(meta["path"]), old, new


def diff_path(path: str) -> bytes:
    """`path` as diffs name it: "/" between parts, no "." parts, no leading "/"; ".." parts that remain are for cw-apply to refuse."""
    return posixpath.normpath(os.fsencode(path)).lstrip(b"/")
