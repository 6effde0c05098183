"""The start of cw-diff: two plain text files are compared with nothing loaded but the library; all else is left to cw_diff.

The imports of a command line take several times as long as comparing files of 10,000 lines (docs/diff.md has the figures). What is
written here is what cw_diff would write, or nothing is, and cw_diff does it all.
"""

import os
import stat
import sys

PROBE_BYTES = 8000  # unified.BINARY_PROBE_BYTES
CONTEXT_LINES = 3
MAX_BYTES = 1 << 30  # of a file; a larger one is read whole all the same, by cw_diff


def main() -> None:
    """The command cw-diff."""
    arguments = sys.argv[1:]
    try:
        text = _difference(*arguments) if len(arguments) == 2 and all(map(_is_plain, arguments)) and not os.isatty(1) else None
        if text is not None:
            view = memoryview(text)
            while view:
                view = view[os.write(1, view):]
            os._exit(0)
    except KeyboardInterrupt:
        os._exit(130)
    except BrokenPipeError:
        os._exit(141)
    except OSError as error:
        from cromwell.contract.errors import exit_code_of

        os.write(2, f"error: cw-diff: {error.strerror}\n\nhint: check the path, its permissions and the space left\n".encode())
        os._exit(exit_code_of(error))
    from cromwell.apply import cw_diff

    cw_diff.main()


def _is_plain(name: str) -> bool:
    """Whether a name stands in a diff as it was given."""
    if not name.isascii() or not name.isprintable() or name.startswith("-"):
        return False
    return not set(' "\\') & set(name) and not {"", ".", ".."} & set(name.split("/"))


def _difference(old_name: str, new_name: str) -> bytes | None:
    """The diff of two text files that differ, of one mode; None for anything else."""
    old, new = _read(old_name), _read(new_name)
    if old is None or new is None or old[1] != new[1] or old[0] == new[0]:
        return None
    texts = old[0], new[0]
    if any(text.find(b"\0", 0, PROBE_BYTES) >= 0 for text in texts):
        return None
    ffi, lib = _library()
    buffers = [ffi.from_buffer("uint8_t[]", text) for text in texts]
    diff, body, size = ffi.new("cw_diff **"), ffi.new("uint8_t **"), ffi.new("size_t *")
    names = ffi.new("char[2][41]")
    if lib.cw_diff_open(buffers[0], len(texts[0]), buffers[1], len(texts[1]), lib.CW_DIFF_HISTOGRAM, diff, ffi.NULL) != lib.CW_OK:
        return None
    if lib.cw_diff_text(diff[0], CONTEXT_LINES, body, size) != lib.CW_OK:
        return None
    lib.cw_blob_names(ffi.new("uint8_t *[2]", buffers), ffi.new("size_t[2]", [len(text) for text in texts]), 2, names[0])
    old_blob, new_blob = ffi.string(names[0]), ffi.string(names[1])
    name, mode = old_name.encode(), b"100755" if old[1] else b"100644"
    header = b"diff --git a/%s b/%s\nindex %s..%s %s\n--- a/%s\n+++ b/%s\n" % (name, name, old_blob, new_blob, mode, name, name)
    return header + ffi.buffer(body[0], size[0])[:]


def _read(name: str) -> tuple[bytes, bool] | None:
    """A regular file's bytes and whether it is executable; None when there is something to be said about it."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError):
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            return None
        pieces = []
        while piece := os.read(descriptor, status.st_size + 1):
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), bool(status.st_mode & stat.S_IXUSR)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _library() -> tuple:
    """The ffi and lib of cromwell.binding without the rest of that package, which costs more than most differences."""
    from _frozen_importlib_external import PathFinder  # importlib.machinery is the same, with warnings to import

    name = "cromwell.binding._native"
    spec = PathFinder.find_spec(name, [os.path.join(sys.modules["cromwell"].__path__[0], "binding")])
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = spec.loader.create_module(spec)
    spec.loader.exec_module(module)
    return module.ffi, module.lib


if __name__ == "__main__":
    main()
