"""What is read from an index: files, definitions, references, imports, and BM25 over the words of every file.

This version makes everything anew in memory."""

from __future__ import annotations

import collections
import hashlib
import math
import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from cromwell.contract.settings import Settings
from cromwell.prepare.symbols import definitions as tree_definitions

BM25_K1, BM25_B = 1.2, 0.75
MAX_BYTES = 1 << 20
LANGUAGES = {".py": "python", ".pyi": "python", ".js": "javascript", ".mjs": "javascript", ".cjs": "javascript", ".jsx": "javascript",
             ".ts": "typescript", ".tsx": "typescript", ".c": "c", ".h": "c", ".cc": "cpp", ".cpp": "cpp", ".cxx": "cpp", ".hpp": "cpp",
             ".hh": "cpp", ".go": "go", ".rs": "rust", ".java": "java"}
_WORD = re.compile(rb"[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z\u0080-\U0010ffff]+|[0-9]+")
_IMPORT = re.compile(r"^\s*(?:from\s+([.\w]+)\s+import\s+([\w ,*()]+)|import\s+([\w., ]+))", re.MULTILINE)


class ChangedError(KeyError):
    """A file differs from what was indexed."""


class File(NamedTuple):
    """A file of the tree; `path` is relative to the root, "/"-separated, bytes that are not UTF-8 as surrogates."""

    id: int
    path: str
    size: int
    mtime_ns: int
    tokens: int
    lines: int
    language: str
    digest: bytes


class Def(NamedTuple):
    """A definition: lines from 1, inclusive, decorators included."""

    name: str
    kind: str
    first_line: int
    signature_last_line: int
    last_line: int


def split_word(word: str) -> list[str]:
    """The terms of an identifier or word: itself and its parts, in lower case."""
    parts = [part.lower() for part in _PART.findall(word)]
    whole = word.lower()
    return [whole] if parts == [whole] or not parts else [whole, *parts]


class Index:
    """A state of the tree."""

    def __init__(self, root: str, names: Iterable[str]):
        self.root, self.files, self._words, self._terms, self._defs, self._meta = root, [], [], [], [], {}
        for path in sorted(names):
            full = os.path.join(root, path)
            try:
                status = os.lstat(full)
                if not os.path.isfile(full) or os.path.islink(full) or status.st_size > MAX_BYTES:
                    continue
                with open(full, "rb") as stream:
                    data = stream.read()
                data.decode("utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            if b"\0" in data[:8000]:
                continue
            language = LANGUAGES.get(os.path.splitext(path)[1].lower(), "")
            self.files.append(File(len(self.files), path, status.st_size, status.st_mtime_ns, len(data) // 3, data.count(b"\n"), language,
                                   hashlib.blake2b(data, digest_size=16).digest()))
            words = collections.Counter(word.decode("utf-8", "surrogateescape") for word in _WORD.findall(data))
            terms: collections.Counter[str] = collections.Counter()
            for word, count in words.items():
                for term in split_word(word):
                    terms[term] += count
            self._words.append(words)
            self._terms.append(terms)
            lf = data.replace(b"\r\n", b"\n")
            self._defs.append([Def(d.name, "function" if d.is_function else "class", d.first_line, d.first_line, d.last_line)
                               for d in tree_definitions(path, lf) or []] if language else [])
        self.by_path = {file.path: file for file in self.files}
        self.state = hashlib.blake2b(b"".join(os.fsencode(f.path) + f.digest for f in self.files), digest_size=16).hexdigest()
        self._length = [sum(terms.values()) for terms in self._terms]
        self._imports = {file.id: self._resolved(file) for file in self.files}

    def _resolved(self, file: File) -> list[int]:
        found = set()
        if file.language == "python":
            for match in _IMPORT.finditer(self.read(file).decode("utf-8", "replace")):
                modules = [match[1], *(f"{match[1]}.{n.strip(' ()')}" for n in match[2].split(","))] if match[1] else match[3].split(",")
                for module in modules:
                    name = module.split(" as ")[0].split(" as")[0].strip()
                    dots = len(name) - len(name.lstrip("."))
                    base = os.path.dirname(file.path).split("/") if dots else []
                    base = base[: len(base) - dots + 1] if dots else []
                    stem = "/".join([*base, *[part for part in name.lstrip(".").split(".") if part]]).lstrip("/")
                    for prefix in ("", "src/", "lib/"):
                        for end in (".py", "/__init__.py"):
                            target = self.by_path.get(prefix + stem + end)
                            if target is not None and target.id != file.id:
                                found.add(target.id)
        return sorted(found)

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_error: Any) -> None:
        self.close()

    def close(self) -> None:
        """Frees what the index holds."""

    def read(self, file: File) -> bytes:
        """The bytes of a file as they are on disk. ChangedError when they are not those that were indexed."""
        try:
            with open(os.path.join(self.root, file.path), "rb") as stream:
                data = stream.read()
        except OSError:
            raise ChangedError(file.path) from None
        if hashlib.blake2b(data, digest_size=16).digest() != file.digest:
            raise ChangedError(file.path)
        return data

    def definitions(self, file_ids: Iterable[int]) -> dict[int, list[Def]]:
        """The definitions of files, in order of their first lines."""
        return {number: self._defs[number] for number in file_ids}

    def defining(self, names: Iterable[str]) -> dict[str, list[tuple[int, Def]]]:
        """Where names are defined, by the last part of the dotted name."""
        wanted: dict[str, list[tuple[int, Def]]] = {name: [] for name in names}
        for number, found in enumerate(self._defs):
            for definition in found:
                last = definition.name.rpartition(".")[2]
                if last in wanted:
                    wanted[last].append((number, definition))
        return wanted

    def imports(self, file_ids: Iterable[int]) -> dict[int, list[int]]:
        """The files of the tree that files import."""
        return {number: self._imports[number] for number in file_ids}

    def importers(self, file_ids: Iterable[int]) -> dict[int, list[int]]:
        """The files of the tree that import files."""
        return {number: [other for other, targets in self._imports.items() if number in targets] for number in file_ids}

    def references(self, file_ids: Iterable[int]) -> dict[int, dict[str, int]]:
        """How often each identifier stands in files."""
        return {number: dict(self._words[number]) for number in file_ids}

    def referring(self, names: Iterable[str]) -> dict[str, list[tuple[int, int]]]:
        """The files that identifiers stand in, with how often."""
        return {name: [(number, words[name]) for number, words in enumerate(self._words) if name in words] for name in names}

    def document_frequency(self, terms: Iterable[str]) -> dict[str, int]:
        """In how many files each term (lower case) stands."""
        return {term: sum(term in counts for counts in self._terms) for term in terms}

    def bm25(self, terms: Mapping[str, float]) -> dict[int, float]:
        """Weighted BM25 of every file with a hit."""
        scores: dict[int, float] = {}
        mean = sum(self._length) / max(1, len(self._length))
        for term, weight in terms.items():
            hits = [(number, counts[term]) for number, counts in enumerate(self._terms) if term in counts]
            idf = math.log(1 + (len(self.files) - len(hits) + 0.5) / (len(hits) + 0.5))
            for number, count in hits:
                norm = BM25_K1 * (1 - BM25_B + BM25_B * self._length[number] / mean)
                scores[number] = scores.get(number, 0.0) + weight * idf * count * (BM25_K1 + 1) / (count + norm)
        return scores

    def meta(self, key: str) -> bytes | None:
        """Data that was put under `key` for this state of the tree, or None."""
        return self._meta.get(key)

    def put_meta(self, key: str, data: bytes) -> None:
        """Keeps data that belongs to this state of the tree."""
        self._meta[key] = data


def open_index(root: str, settings: Settings, *, names: Sequence[str] | None = None) -> Index:
    """The index of a tree, or of the files `names` (relative to it) alone, as they are now."""
    root = os.path.realpath(root)
    if names is None:
        listed = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=root, capture_output=True)
        if listed.returncode == 0:
            names = [os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]
        else:
            names = [os.path.relpath(os.path.join(folder, name), root) for folder, _, found in os.walk(root) for name in found]
        names = [name for name in set(names) if not any(part.startswith(".") for part in name.split("/"))]
    return Index(root, names)
