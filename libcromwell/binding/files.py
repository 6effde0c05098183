"""Python's view of libcromwell's walk: the files of a tree as packed bytes, which are cheap to keep and to compare."""

from __future__ import annotations

from typing import Any, NamedTuple

from cromwell.binding import CromwellError, _check
from cromwell.binding._native import ffi, lib

REGULAR, LINK, SUBMODULE = lib.CW_FILE_REGULAR, lib.CW_FILE_LINK, lib.CW_FILE_SUBMODULE
STAT_FORMAT = "<qqqQII"
"""A cw_file_stat for `struct`: size, mtime_ns, ctime_ns, inode, kind, 0."""


class Listing(NamedTuple):
    """Files in order of their names' bytes: each name ended by a zero byte, the state of each as STAT_FORMAT has it, and how many folders
    (or given names) could not be read."""

    names: bytes
    stats: bytes
    unreadable: int


def _listing(walk: Any) -> Listing:
    try:
        stats, names, size, unreadable = (ffi.new(kind) for kind in ("cw_file_stat **", "uint8_t **", "size_t *", "uint32_t *"))
        count = lib.cw_walk_files(walk, stats, names, size, unreadable)
        return Listing(bytes(ffi.buffer(names[0], size[0])), bytes(ffi.buffer(stats[0], count * ffi.sizeof("cw_file_stat"))), unreadable[0])
    finally:
        lib.cw_walk_close(walk)


def walk(root: bytes, top: bytes, prefix: bytes, *, git_index: bytes | None, exclude_file: bytes | None, global_file: bytes | None,
         id_bytes: int, hidden: bool, in_repository: bool, threads: int) -> Listing:
    """The files below `root` that no ignore file excludes. CromwellError when the folder cannot be opened."""
    fault, out, request = ffi.new("cw_fault *"), ffi.new("cw_walk **"), ffi.new("cw_walk_request *")
    texts = {"root": root, "top": top, "prefix": prefix, "git_index": git_index, "exclude_file": exclude_file, "global_file": global_file}
    if any(text is not None and b"\0" in text for text in texts.values()):
        raise CromwellError(lib.CW_E_ARGUMENT, "a path holds a NUL byte")
    kept = {name: ffi.NULL if text is None else ffi.new("char[]", text) for name, text in texts.items()}
    for name, text in kept.items():
        setattr(request, name, text)
    request.id_bytes, request.hidden, request.in_repository, request.threads = id_bytes, hidden, in_repository, threads
    _check(lib.cw_walk_open(request, out, fault), fault)
    return _listing(out[0])


def states(root: bytes, names: bytes) -> Listing:
    """The same for given names, each ended by a zero byte; those that are no files are counted as unreadable."""
    fault, out = ffi.new("cw_fault *"), ffi.new("cw_walk **")
    _check(lib.cw_walk_names(ffi.new("char[]", root), ffi.from_buffer(names), len(names), out, fault), fault)
    return _listing(out[0])
