"""An index of one tree of a repository, in memory, that moves from commit to commit by what differs between them.

It answers what cromwell.prepare.index does, so that thousands of trees are scored without one being checked out."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from cromwell.prepare.rank.kinds import words

MOST_BYTES = 1 << 20
K1, B = 1.2, 0.75  # of BM25
_NAME = re.compile(rb"[^\W\d]\w+")
_DEFINITION = re.compile(
    rb"^([ \t]*)(?:(?:export|default|public|private|protected|static|final|abstract|async|pub(?:\([^)\n]*\))?|unsafe|extern|const|inline|"
    rb"virtual|template|typedef|override|declare|constexpr)\s+)*"
    rb"(?:(?P<word>def|class|function\*?|fn|func|struct|interface|trait|enum|impl|macro_rules!|proc|type|namespace|mod|module)\s+"
    rb"(?:\([^)\n]*\)\s*)?(?P<name>[\w.]+)|(?P<c>[A-Za-z_][\w \t*&:<>,]*?[ \t*&](?P<cname>[A-Za-z_]\w*)\([^;\n]*\)?\s*\{?\s*$)|"
    rb"(?P<constant>[A-Z][A-Z0-9_]{2,})[ \t]*(?::[^=\n]*)?=)", re.M)
_IMPORT = re.compile(
    rb"^[ \t]*(?:from[ \t]+(?P<source>[.\w]+)[ \t]+import[ \t]+(?P<names>\([^)]*\)|[^\n]*)|import[ \t]+(?P<module>[\w.]+)[ \t]*;?|"
    rb"\#[ \t]*include[ \t]*[\"<](?P<header>[^\">\n]+)|(?:pub[ \t]+)?mod[ \t]+(?P<mod>\w+)[ \t]*;|(?:pub[ \t]+)?use[ \t]+(?P<use>[\w:]+))"
    rb"|(?:from|require\(|import\(|import)[ \t]*['\"](?P<string>[^'\"\n]+)['\"]|^\t\"(?P<go>[\w./-]+)\"$", re.M)
_SUFFIXES = ("", ".py", ".pyi", "/__init__.py", ".ts", ".tsx", ".js", ".jsx", ".mjs", ".vue", "/index.ts", "/index.js", ".rs", "/mod.rs",
             ".java", ".h", ".hpp")


class Def(NamedTuple):
    """A definition, as cromwell.prepare.index gives it."""

    name: str
    kind: str
    first_line: int
    signature_last_line: int
    last_line: int


class File(NamedTuple):
    """A file of the tree."""

    id: int
    path: str
    size: int
    tokens: int
    lines: int


class _Blob(NamedTuple):
    """What is read off a file's bytes once."""

    data: bytes
    names: Mapping[str, int]
    words: Mapping[str, int]
    length: int
    lines: int
    definitions: tuple[Def, ...]
    imports: tuple[str, ...]


class MemoryIndex:
    """The index of the tree last given to `move`."""

    root = ""

    def __init__(self, read: Callable[[str], bytes]):
        """`read` gives the bytes of a blob."""
        self._read, self._blobs, self._ids = read, {}, {}
        self._at: dict[str, str] = {}
        self._word_files: dict[str, dict[int, int]] = {}
        self._name_files: dict[str, dict[int, int]] = {}
        self._defined: dict[str, dict[int, list[Def]]] = {}
        self._length = 0
        self.files: list[File] = []
        self.by_path: dict[str, File] = {}
        self._of: dict[int, _Blob] = {}
        self.state, self._moves = "", 0
        self._imports: dict[int, list[int]] | None = None
        self._meta: dict[str, bytes] = {}

    def move(self, tree: Mapping[str, str]) -> None:
        """Makes `tree` (path -> blob) the indexed one."""
        for path in [path for path, blob in self._at.items() if tree.get(path) != blob]:
            self._remove(path)
        for path, blob in tree.items():
            if path not in self._at:
                self._add(path, blob)
        self.files = sorted(self.by_path.values(), key=lambda file: file.path)
        self._moves += 1
        self.state = str(self._moves)
        self._imports = None

    def _add(self, path: str, blob: str) -> None:
        self._at[path] = blob
        if blob not in self._blobs:
            self._blobs[blob] = _scan(path, self._read(blob))
        found = self._blobs[blob]
        if found is None:
            return
        number = self._ids.setdefault(path, len(self._ids))
        self._of[number] = found
        self.by_path[path] = File(number, path, len(found.data), len(found.data) // 3, found.lines)
        self._length += found.length
        for word, count in found.words.items():
            self._word_files.setdefault(word, {})[number] = count
        for name, count in found.names.items():
            self._name_files.setdefault(name, {})[number] = count
        for definition in found.definitions:
            self._defined.setdefault(definition.name, {}).setdefault(number, []).append(definition)

    def _remove(self, path: str) -> None:
        del self._at[path]
        file = self.by_path.pop(path, None)
        if file is None:
            return
        found = self._of.pop(file.id)
        self._length -= found.length
        for word in found.words:
            del self._word_files[word][file.id]
        for name in found.names:
            del self._name_files[name][file.id]
        for definition in found.definitions:
            self._defined[definition.name].pop(file.id, None)

    def read(self, file: File) -> bytes:
        return self._of[file.id].data

    def definitions(self, file_ids: Iterable[int]) -> dict[int, tuple[Def, ...]]:
        return {number: self._of[number].definitions for number in file_ids}

    def defining(self, names: Iterable[str]) -> dict[str, list[tuple[int, Def]]]:
        return {name: [(number, one) for number, ones in self._defined.get(name, {}).items() for one in ones] for name in names}

    def _resolved(self) -> dict[int, list[int]]:
        if self._imports is None:
            known = {}
            for file in self.files:
                parts = file.path.split("/")
                for start in range(len(parts)):
                    known.setdefault("/".join(parts[start:]), file.id)
            folders: dict[str, list[int]] = {}
            for file in self.files:
                folders.setdefault(file.path.rpartition("/")[0], []).append(file.id)
            self._imports = {}
            for file in self.files:
                found = {}
                for wanted in self._of[file.id].imports:
                    for number in _resolve(file.path, wanted, known, folders):
                        if number != file.id:
                            found[number] = None
                self._imports[file.id] = list(found)
        return self._imports

    def imports(self, file_ids: Iterable[int]) -> dict[int, list[int]]:
        resolved = self._resolved()
        return {number: resolved[number] for number in file_ids}

    def importers(self, file_ids: Iterable[int]) -> dict[int, list[int]]:
        wanted: dict[int, list[int]] = {number: [] for number in file_ids}
        for number, found in self._resolved().items():
            for other in found:
                if other in wanted:
                    wanted[other].append(number)
        return wanted

    def references(self, file_ids: Iterable[int]) -> dict[int, Mapping[str, int]]:
        return {number: self._of[number].names for number in file_ids}

    def referring(self, names: Iterable[str]) -> dict[str, list[tuple[int, int]]]:
        return {name: list(self._name_files.get(name, {}).items()) for name in names}

    def bm25(self, terms: Mapping[str, float]) -> dict[int, float]:
        scores: dict[int, float] = {}
        count = max(1, len(self._of))
        mean = self._length / count or 1.0
        for term, weight in terms.items():
            found = self._word_files.get(term)
            if found:
                rarity = weight * math.log(1 + (count - len(found) + 0.5) / (len(found) + 0.5))
                for number, times in found.items():
                    saturated = times * (K1 + 1) / (times + K1 * (1 - B + B * self._of[number].length / mean))
                    scores[number] = scores.get(number, 0.0) + rarity * saturated
        return scores

    def document_frequency(self, terms: Iterable[str]) -> dict[str, int]:
        return {term: len(self._word_files.get(term, ())) for term in terms}

    def meta(self, key: str, any_state: bool = False) -> bytes | None:
        return self._meta.get(key)

    def put_meta(self, key: str, value: bytes) -> None:
        self._meta[key] = value


def _scan(path: str, data: bytes) -> _Blob | None:
    """What is in a file; None for a binary or huge one."""
    if len(data) > MOST_BYTES or b"\0" in data:
        return None
    names = {name.decode("utf-8", "replace"): count for name, count in Counter(_NAME.findall(data)).items() if len(name) <= 80}
    found: Counter[str] = Counter()
    for name, count in names.items():
        for word in words(name):
            found[word] += count
    imports = []
    for match in _IMPORT.finditer(data):
        imports += _wanted(match)
    lines = data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
    return _Blob(data, names, found, sum(found.values()), lines, tuple(_definitions(data)), tuple(imports))


def _wanted(match: re.Match[bytes]) -> list[str]:
    """What an import asks for, as path endings without suffix; relative ones start with a dot."""
    def text(group: str) -> str:
        return (match[group] or b"").decode("utf-8", "replace")

    if source := text("source"):
        dots = len(source) - len(source.lstrip("."))
        base = ("./" + "../" * (dots - 1) if dots else "") + source[dots:].replace(".", "/")
        return [base, *(f"{base.rstrip('/')}/{name}" for name in re.findall(r"\w+", text("names"))[:40])]
    if module := text("module"):
        return [module.replace(".", "/")]
    if use := text("use"):
        parts = [part for part in use.split("::") if part not in ("crate", "self", "super", "")]
        return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return [text("header") or text("mod") or text("string") or text("go")]


def _resolve(path: str, wanted: str, known: Mapping[str, int], folders: Mapping[str, list[int]]) -> list[int]:
    """The files that an import of `path` means."""
    folder = path.rpartition("/")[0]
    if wanted.startswith("."):
        parts = folder.split("/") if folder else []
        for part in wanted.split("/"):
            if part == "..":
                parts = parts[:-1]
            elif part not in (".", ""):
                parts = [*parts, part]
        wanted = "/".join(parts)
        for suffix in _SUFFIXES:
            number = known.get(wanted + suffix)
            if number is not None:
                return [number]
        return []
    for base in (f"{folder}/{wanted}" if folder else wanted, wanted):
        for suffix in _SUFFIXES:
            number = known.get(base + suffix)
            if number is not None and base:
                return [number]
    parts = wanted.split("/")
    for start in range(len(parts)):
        if "/".join(parts[start:]) in folders and "." in parts[0]:
            return folders["/".join(parts[start:])][:20]
    return []


def _definitions(data: bytes) -> list[Def]:
    """Definitions by their first lines; each ends before the next line of code that is indented no more."""
    starts = []
    lines = data.split(b"\n")
    number, position = 1, 0
    for match in _DEFINITION.finditer(data):
        number += data.count(b"\n", position, match.start())
        position = match.start()
        name = match["name"] or match["cname"] or match["constant"]
        if name in (b"if", b"for", b"while", b"switch", b"return", b"else", b"catch"):
            continue
        is_class = match["word"] in (b"class", b"struct", b"interface", b"trait", b"enum")
        kind = "constant" if match["constant"] else "class" if is_class else "function"
        starts.append((name.decode("utf-8", "replace").rpartition(".")[2], kind, number, len(match[1].expandtabs(4))))
    found = []
    for name, kind, first, indent in starts:
        last = first
        limit = len(lines) if kind != "constant" else first
        for line in range(first, limit):
            text = lines[line]
            stripped = text.lstrip()
            if stripped and len(text) - len(stripped) <= indent and not stripped.startswith((b")", b"]", b"{")):
                if stripped.startswith(b"}") or stripped.startswith(b"end"):
                    last = line + 1
                break
            if stripped:
                last = line + 1
        found.append(Def(name, kind, first, first, last))
    return found
