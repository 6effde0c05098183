"""Which tree a run is about: its root, the place of the target in it, and names as people give and read them."""

from __future__ import annotations

import os

from cromwell.contract.errors import CommandError

PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg", "package.json", "Cargo.toml", "go.mod", "pom.xml", "build.gradle",
                 "CMakeLists.txt", "meson.build", "Makefile", ".cromwell.toml")
MAX_LIST_BYTES = 64 << 20


def find_root(path: str) -> str:
    """The tree that a file or folder belongs to: the nearest folder around it with `.git`, else the nearest with a project file, else the
    current folder where that holds it, else its own."""
    own = folder = os.path.realpath(path if os.path.isdir(path) else os.path.dirname(path) or ".")
    project = None
    while True:
        if os.path.lexists(os.path.join(folder, ".git")):
            return folder
        if project is None and any(os.path.isfile(os.path.join(folder, name)) for name in PROJECT_FILES):
            project = folder
        parent = os.path.dirname(folder)
        if parent == folder:
            break
        folder = parent
    if project is not None:
        return project
    here = os.path.realpath(os.getcwd())
    return here if here != "/" and (own + "/").startswith(here + "/") else own


def inside(path: str, root: str) -> str:
    """`path` relative to `root`, "." for the root itself. CommandError when it lies outside."""
    relative = os.path.relpath(os.path.realpath(path), os.path.realpath(root))
    if relative == ".." or relative.startswith("../"):
        raise CommandError(f"{path}: lies outside of {root}", "name a target below the root, or another --root")
    return relative


def listed_names(source: str, root: str, zero: bool) -> list[str]:
    """The names in a list of files, one a line or each ended by NUL, relative to `root`. Names in the list start from the current folder.

    CommandError when the list cannot be read or is empty, or a name lies outside of the root."""
    from cromwell.contract.cli import open_input

    name = "standard input" if source == "-" else source
    with open_input(source) as stream:
        data = stream.read(MAX_LIST_BYTES + 1)
    if len(data) > MAX_LIST_BYTES:
        raise CommandError(f"{name}: a list of more than {MAX_LIST_BYTES >> 20} MiB", "give fewer files")
    if not zero and b"\0" in data:
        raise CommandError(f"{name}: holds NUL bytes", "use -0 for names that end with NUL")
    given = [os.fsdecode(entry) for entry in data.split(b"\0" if zero else b"\n") if entry]
    if not given:
        raise CommandError(f"{name}: names no files", "give at least one, or leave --files-from out")
    real, found, missing = os.path.realpath(root), [], 0
    for entry in given:
        # Only folders are followed: a link is refused or taken as what it is by whoever reads it.
        full = os.path.join(os.path.realpath(os.path.dirname(entry) or "."), os.path.basename(entry))
        relative = os.path.relpath(full, real)
        if relative == ".." or relative.startswith("../"):
            raise CommandError(f"{entry}: lies outside of {root}", "name files below the root, or another --root")
        missing += not os.path.lexists(full)
        found.append(relative)
    if missing == len(found):
        raise CommandError(f"{name}: none of its {missing} names is there", "names start from the current folder")
    return found


def quoted(path: str) -> str:
    """A path on one line: as it is, or where that could not be read back, in double quotes with C escapes, as git prints it."""
    raw = os.fsencode(path)
    try:
        raw.decode("utf-8")
        is_text = True
    except UnicodeDecodeError:
        is_text = False
    if is_text and not any(c < 0x20 or c in (0x22, 0x5C, 0x7F) for c in raw):
        return path
    escapes = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 0x22: '\\"', 0x5C: "\\\\"}
    return '"' + "".join(escapes.get(c) or (chr(c) if 0x20 <= c < 0x7F else f"\\{c:03o}") for c in raw) + '"'
