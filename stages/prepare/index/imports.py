"""Which files of the tree a file imports, from what is written in it. Names that lead out of the tree lead nowhere here."""

from __future__ import annotations

import functools
import os
import posixpath
from array import array
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b

from cromwell.prepare.index.kinds import ChangedError, DamagedError, File

SCRIPT_SUFFIXES = (".ts", ".tsx", ".d.ts", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".cts", ".vue", ".json")
MOST_CANDIDATES = 64
_DIGEST = 16


def _nearest(path: str, candidates: Sequence[File]) -> File:
    """The candidate that shares most folders with `path`; of equals the one of the shortest path."""
    parts = path.split("/")

    def shared(file: File) -> int:
        count = 0
        for mine, its in zip(parts, file.path.split("/"), strict=False):
            if mine != its:
                break
            count += 1
        return count

    return min(candidates[:MOST_CANDIDATES], key=lambda file: (-shared(file), len(file.path), file.path))


class Resolver:
    """Leads imports to files. `read` gives the bytes of a file (go.mod and package.json are looked into)."""

    def __init__(self, files: Sequence[File], read: Callable[[File], bytes]):
        self.files, self._read = files, read
        self.by_path = {file.path: file for file in files}
        self._how = {"python": self._python, "cython": self._python, "javascript": self._script, "typescript": self._script,
                     "vue": self._script, "c": self._c, "cpp": self._c, "go": self._go, "rust": self._rust, "java": self._java}
        self._absolute: dict[str, list[File] | None] = {}
        self._by_folder: dict[tuple[str, str], list[File]] = {}

    def resolve(self, file: File, imports: Iterable[str]) -> list[int]:
        """Ids of the files that `file` imports, ascending."""
        how = self._how.get(file.language)
        found: set[int] = set()
        if how is not None:
            for text in imports:
                found.update(target.id for target in how(file, text))
        return sorted(found - {file.id})

    # ---- Python ----

    @functools.cached_property
    def _modules(self) -> dict[str, list[File]]:
        """Files by dotted module name: from the highest folder that is a package, and from the root."""
        packages = {posixpath.dirname(file.path) for file in self.files if posixpath.basename(file.path) in ("__init__.py", "__init__.pyi")}
        found: dict[str, list[File]] = {}
        for file in self.files:
            if file.language not in ("python", "cython"):
                continue
            folder, base = posixpath.split(file.path)
            stem = base.rpartition(".")[0]
            parts = [] if stem == "__init__" else [stem]
            while folder and folder in packages:
                folder, name = posixpath.split(folder)
                parts.insert(0, name)
            names = {".".join(parts)}
            if folder:
                names.add(".".join([*folder.split("/"), *parts]))
            for name in names:
                if name:
                    found.setdefault(name, []).append(file)
        return found

    @functools.cached_property
    def _stems(self) -> set[str]:
        """Names of Python files without their suffix, wherever they are."""
        return {posixpath.basename(file.path).rpartition(".")[0] for file in self.files if file.language in ("python", "cython")}

    def _module(self, file: File, name: str) -> File | None:
        candidates = self._modules.get(name)
        if not candidates:
            return None
        return candidates[0] if len(candidates) == 1 else _nearest(file.path, candidates)

    def _python(self, file: File, text: str) -> list[File]:
        if text[:1] != ".":
            if text not in self._absolute:
                self._absolute[text] = self._anywhere(text)
            known = self._absolute[text]
            if known is not None:
                return known
        folder = file.path.rpartition("/")[0]
        found = self._by_folder.get((folder, text))
        if found is None:
            found = self._by_folder[folder, text] = self._python_found(file, folder, text)
        return found

    def _anywhere(self, text: str) -> list[File] | None:
        """Where an absolute import leads from every file alike; None when that depends on the file."""
        module, *names = text.split(" ")
        whole = self._modules.get(module, ())
        if not whole and "." not in module and module in self._stems:
            return None  # a script beside it
        below = [self._modules.get(f"{module}.{name}", ()) for name in names]
        if len(whole) > 1 or any(len(candidates) > 1 for candidates in below):
            return None
        found = [candidates[0] for candidates in below if candidates]
        return found + list(whole) if len(found) < len(names) or not names else found

    def _python_found(self, file: File, folder: str, text: str) -> list[File]:
        module, *names = text.split(" ")
        bare = module.lstrip(".")
        dots = len(module) - len(bare)
        if dots:
            base = folder.split("/") if folder else []
            base = base[:len(base) - (dots - 1)] if dots > 1 else base
            start = "/".join([*base, *bare.split(".")]) if bare else "/".join(base)
            found = [target for name in names if (target := self._python_file(f"{start}/{name}" if start else name)) is not None]
            whole = self._python_file(start)
            return found + ([whole] if whole is not None and len(found) < len(names) else []) if names else ([whole] if whole else [])
        found = [target for name in names if (target := self._module(file, f"{module}.{name}")) is not None]
        if len(found) < len(names) or not names:
            whole = self._module(file, module)
            if whole is None and "." not in module:
                whole = self._python_file(f"{folder}/{module}" if folder else module)  # beside a script
            if whole is not None:
                found.append(whole)
        return found

    def _python_file(self, stem: str) -> File | None:
        for path in (f"{stem}.py", f"{stem}/__init__.py", f"{stem}.pyi", f"{stem}.pyx"):
            if path in self.by_path:
                return self.by_path[path]
        return None

    # ---- JavaScript and TypeScript ----

    @functools.cached_property
    def _packages(self) -> dict[str, str]:
        """Folders by the names in their package.json."""
        import json

        found = {}
        for file in self.files:
            if posixpath.basename(file.path) == "package.json" and file.size < 1 << 20:
                try:
                    name = json.loads(self._read(file))["name"]
                except (ChangedError, ValueError, KeyError, TypeError, RecursionError):
                    continue
                if isinstance(name, str):
                    found.setdefault(name, posixpath.dirname(file.path))
        return found

    def _script_file(self, stem: str) -> File | None:
        if stem in self.by_path:
            return self.by_path[stem]
        for suffix in SCRIPT_SUFFIXES:
            if stem + suffix in self.by_path:
                return self.by_path[stem + suffix]
        base, dot, suffix = stem.rpartition(".")
        if dot and suffix in ("js", "jsx", "mjs", "cjs"):  # TypeScript names what it will become
            for other in (".ts", ".tsx", ".mts", ".cts", ".d.ts"):
                if base + other in self.by_path:
                    return self.by_path[base + other]
        for suffix in SCRIPT_SUFFIXES:
            if f"{stem}/index{suffix}" in self.by_path:
                return self.by_path[f"{stem}/index{suffix}"]
        return None

    def _script(self, file: File, text: str) -> list[File]:
        text = text.partition("?")[0]
        if text.startswith("."):
            target = self._script_file(posixpath.normpath(posixpath.join(posixpath.dirname(file.path), text)))
            return [target] if target else []
        if text.startswith(("@/", "~/")):  # what build tools call the source folder
            folder = posixpath.dirname(file.path)
            while True:
                for source in ("src", ""):
                    target = self._script_file(posixpath.normpath(posixpath.join(folder, source, text[2:])))
                    if target:
                        return [target]
                if not folder:
                    return []
                folder = posixpath.dirname(folder)
        parts = text.split("/")
        count = 2 if text.startswith("@") else 1
        folder = self._packages.get("/".join(parts[:count]))
        if folder is None:
            return []
        rest = "/".join(parts[count:])
        for start in ([f"{rest}", f"src/{rest}", f"lib/{rest}"] if rest else ["src/index", "index", "lib/index", "src/main"]):
            target = self._script_file(posixpath.normpath(posixpath.join(folder, start)))
            if target:
                return [target]
        return []

    # ---- C and C++ ----

    @functools.cached_property
    def _by_base(self) -> dict[str, list[File]]:
        found: dict[str, list[File]] = {}
        for file in self.files:
            found.setdefault(posixpath.basename(file.path), []).append(file)
        return found

    def _c(self, file: File, text: str) -> list[File]:
        quoted, name = text[:1] == '"', posixpath.normpath(text[1:].rstrip('">'))
        if quoted:
            beside = posixpath.normpath(posixpath.join(posixpath.dirname(file.path), name))
            if beside in self.by_path:
                return [self.by_path[beside]]
        while name.startswith("../"):
            name = name[3:]
        end = name if quoted or "/" in name else f"include/{name}"
        candidates = [other for other in self._by_base.get(posixpath.basename(name), ())
                      if other.path == end or other.path.endswith("/" + end)]
        return [_nearest(file.path, candidates)] if candidates else []

    # ---- Go ----

    @functools.cached_property
    def _go_modules(self) -> list[tuple[str, str]]:
        """Module paths with their folders, the longest first."""
        found = []
        for file in self.files:
            if posixpath.basename(file.path) == "go.mod":
                try:
                    lines = self._read(file).decode("utf-8", "replace").split("\n")
                except ChangedError:
                    continue
                for line in lines:
                    words = line.split()
                    if len(words) >= 2 and words[0] == "module":
                        found.append((words[1].strip('"'), posixpath.dirname(file.path)))
        return sorted(found, key=lambda pair: -len(pair[0]))

    @functools.cached_property
    def _go_folders(self) -> dict[str, list[File]]:
        found: dict[str, list[File]] = {}
        for file in self.files:
            if file.language == "go" and not file.path.endswith("_test.go"):
                found.setdefault(posixpath.dirname(file.path), []).append(file)
        return found

    def _go(self, _file: File, text: str) -> list[File]:
        for module, folder in self._go_modules:
            if text == module or text.startswith(module + "/"):
                rest = text[len(module) + 1:]
                return self._go_folders.get(posixpath.join(folder, rest) if rest else folder, [])
        return []

    # ---- Rust ----

    @functools.cached_property
    def _crates(self) -> dict[str, str]:
        """Source folders of crates by the names of the folders that hold them."""
        found: dict[str, str] = {}
        for file in self.files:
            folder, base = posixpath.split(file.path)
            if base == "lib.rs" and posixpath.basename(folder) == "src":
                found.setdefault(posixpath.basename(posixpath.dirname(folder)).replace("-", "_"), folder)
        return found

    def _crate_folder(self, path: str) -> str:
        folder = posixpath.dirname(path)
        while folder:
            if f"{folder}/lib.rs" in self.by_path or f"{folder}/main.rs" in self.by_path:
                return folder
            folder = posixpath.dirname(folder)
        return ""

    def _rust_module(self, folder: str, parts: Sequence[str]) -> File | None:
        """The deepest module file that a path of names leads to."""
        found = None
        for part in parts:
            stem = f"{folder}/{part}" if folder else part
            target = self.by_path.get(f"{stem}.rs") or self.by_path.get(f"{stem}/mod.rs")
            if target is None:
                break
            found, folder = target, stem
        return found

    def _rust(self, file: File, text: str) -> list[File]:
        folder, base = posixpath.split(file.path)
        inside = folder if base in ("mod.rs", "lib.rs", "main.rs") else f"{folder}/{base[:-3]}" if folder else base[:-3]
        if text.startswith("mod "):
            target = self._rust_module(inside, [text[4:]])
            return [target] if target else []
        found = []
        for path in _rust_paths(text):
            parts = path.split("::")
            if parts and parts[0] == "":
                parts = parts[1:]
            if not parts:
                continue
            if parts[0] == "crate":
                start, parts = self._crate_folder(file.path), parts[1:]
            elif parts[0] in ("self", "super"):
                start = inside
                while parts and parts[0] in ("self", "super"):
                    start = posixpath.dirname(start) if parts[0] == "super" else start
                    parts = parts[1:]
            elif parts[0] in self._crates:
                start, name, parts = self._crates[parts[0]], parts[0], parts[1:]
                if not self._rust_module(start, parts) and f"{start}/lib.rs" in self.by_path:
                    found.append(self.by_path[f"{start}/lib.rs"])
                    continue
                del name
            else:
                start = inside
            target = self._rust_module(start, parts)
            if target is not None:
                found.append(target)
        return found

    # ---- Java ----

    @functools.cached_property
    def _java_folders(self) -> dict[str, list[File]]:
        found: dict[str, list[File]] = {}
        for file in self.files:
            if file.language == "java":
                found.setdefault(posixpath.basename(posixpath.dirname(file.path)), []).append(file)
        return found

    def _java(self, file: File, text: str) -> list[File]:
        parts = text.split(".")
        if parts[-1] == "*":
            end = "/".join(parts[:-1])
            return [other for other in self._java_folders.get(parts[-2] if len(parts) > 1 else "", ())
                    if ("/" + posixpath.dirname(other.path)).endswith("/" + end)]
        for count in range(len(parts), 1, -1):  # members of classes are imported, too
            end = "/".join(parts[:count]) + ".java"
            candidates = [other for other in self._by_base.get(f"{parts[count - 1]}.java", ()) if ("/" + other.path).endswith("/" + end)]
            if candidates:
                return [_nearest(file.path, candidates)]
        return []


def _rust_paths(text: str, most: int = 200) -> list[str]:
    """The paths of a use declaration: a::{b,c::{d}} gives a::b and a::c::d."""
    done: list[str] = []
    pending = [text]
    while pending and len(done) + len(pending) < most:
        path = pending.pop()
        start = path.find("{")
        if start < 0:
            done.append(path)
            continue
        depth, end, commas = 0, len(path), [start]
        for at in range(start, len(path)):
            depth += (path[at] == "{") - (path[at] == "}")
            if path[at] == "," and depth == 1:
                commas.append(at)
            if depth == 0:
                end = at
                break
        commas.append(end)
        head = path[:start]
        pending += [head + path[one + 1:two] for one, two in zip(commas, commas[1:], strict=False) if path[one + 1:two]]
    return [path.removesuffix("::self") for path in done]


# ---- Kept from one state to the next ----


def _dump(files: Sequence[File], ends: array, targets: array) -> bytes:
    names = blake2b("\0".join(file.path for file in files).encode("utf-8", "surrogateescape"), digest_size=_DIGEST).digest()
    return b"".join([names, len(files).to_bytes(8, "little"), *(file.digest for file in files), ends.tobytes(), targets.tobytes()])


def _load(files: Sequence[File], data: bytes) -> tuple[list[int], array, array] | None:
    """Numbers of files whose imports are not those kept, and the graph; None when the files of the tree are others."""
    names = blake2b("\0".join(file.path for file in files).encode("utf-8", "surrogateescape"), digest_size=_DIGEST).digest()
    count = len(files)
    if data[:_DIGEST] != names or int.from_bytes(data[_DIGEST:_DIGEST + 8], "little") != count:
        return None
    at = _DIGEST + 8 + _DIGEST * count
    ends, targets = array("I"), array("I")
    ends.frombytes(data[at:at + 4 * (count + 1)])
    targets.frombytes(data[at + 4 * (count + 1):])
    if len(ends) != count + 1 or ends[-1] != len(targets):
        raise DamagedError("the graph of imports")
    start = _DIGEST + 8
    stale = [file.id for file in files if data[start + _DIGEST * file.id:start + _DIGEST * (file.id + 1)] != file.digest]
    return stale, ends, targets


_ROOTS = ("go.mod", "package.json")
"""Files whose content decides where others' imports lead."""


def load_graph(files: Sequence[File], imports_of: Callable[[list[int]], dict[int, list[str]]], read: Callable[[File], bytes],
               kept: bytes | None, is_current: bool) -> tuple[tuple[array, array], bytes | None]:
    """The graph as (where each file's imports end, one more at the front; ids), and what to keep when it is new.

    Of a graph kept for another state only the files that changed since are resolved again, as long as no file came or went."""
    known = _load(files, kept) if kept is not None else None
    if known is not None and (is_current or not known[0]):
        return (known[1], known[2]), None
    if known is not None and any(os.path.basename(files[number].path) in _ROOTS for number in known[0]):
        known = None
    wanted = known[0] if known is not None else [file.id for file in files]
    resolver, written = Resolver(files, read), imports_of(wanted)
    ends, targets = array("I", [0]), array("I")
    for file in files:
        if file.id in written:
            targets.extend(resolver.resolve(file, written[file.id]))
        elif known is not None:
            targets.extend(known[2][known[1][file.id]:known[1][file.id + 1]])
        ends.append(len(targets))
    return (ends, targets), _dump(files, ends, targets)
