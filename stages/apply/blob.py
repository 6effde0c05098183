"""Git's names for file contents: the hash of a blob."""

from __future__ import annotations

import hashlib
from functools import lru_cache

ABSENT = "0" * 40
"""What an index line says for a file that is not there."""


@lru_cache(maxsize=4)  # a version is asked for several times in a row: whether it is the one named, and for what is told of it
def blob_hash(data: bytes, algorithm: str = "sha1") -> str:
    """Git's object id of `data` as a blob, in hex; `algorithm` is the repository's, "sha1" (40 digits) or "sha256" (64)."""
    digest = (hashlib.sha1 if algorithm == "sha1" else hashlib.sha256)(b"blob %d\0" % len(data), usedforsecurity=False)
    digest.update(data)
    return digest.hexdigest()


def is_blob(data: bytes, name: str) -> bool:
    """Whether `name`, an object id or the first digits of one, is that of `data` in a repository of either kind."""
    return blob_hash(data).startswith(name) or blob_hash(data, "sha256").startswith(name)


def is_absent(name: str) -> bool:
    """Whether `name` is the object id (or the first digits of it) that stands for no file."""
    return not name.strip("0")
