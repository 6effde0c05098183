"""What a path says: which kind of file it is, and which files are named for one another."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

CODE, TEST, DOCS, CHANGES, SETTINGS, LOCALE, OTHER = "code", "test", "docs", "changes", "settings", "locale", "other"

CODE_SUFFIXES = frozenset("""
    .py .pyi .pyx .pyw .js .mjs .cjs .jsx .ts .tsx .mts .cts .vue .svelte .c .h .cc .cpp .cxx .hpp .hh .hxx .m .mm .rs .go .java .kt .kts
    .scala .rb .php .cs .fs .swift .lua .pl .pm .r .jl .sh .bash .zsh .fish .ps1 .sql .tcl .ex .exs .erl .hs .ml .mli .clj .dart .zig .nim
    .proto .s .asm .cu .el .vim .groovy
""".split())
DOCS_SUFFIXES = frozenset(".md .rst .txt .adoc .html .htm .tex .ipynb .1 .pod".split())
SETTINGS_SUFFIXES = frozenset(".toml .cfg .ini .json .yml .yaml .conf .xml .gradle .cmake .mk .bazel .nix .lock .properties .in".split())
SETTINGS_NAMES = frozenset("Makefile makefile GNUmakefile Dockerfile CMakeLists.txt Justfile justfile Rakefile Gemfile".split())
_TEST_WORDS = frozenset("test tests testing spec specs __tests__ testdata unit e2e".split())
_CHANGES = re.compile(r"(?:^|[/_.-])(?:changes|changelog|change_?log|history|news|releases?|release[-_]?notes|whats[-_]?new|unreleased)"
                      r"(?:$|[/_.-]|\d)", re.IGNORECASE)
_DOCS_FOLDERS = frozenset("doc docs documentation examples example guide tutorial tutorials website manual".split())
_LOCALE = re.compile(r"(?:^|/)(?:locales?|lang|translations?|i18n)/|\.(?:po|pot|mo)$", re.IGNORECASE)
_SPLIT = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


class Name:
    """The parts of a path that matter."""

    __slots__ = ("path", "folder", "base", "stem", "suffix", "kind", "core")

    def __init__(self, path: str):
        self.path = path
        self.folder, _, self.base = path.rpartition("/")
        dot = self.base.rfind(".")
        self.stem, self.suffix = (self.base[:dot], self.base[dot:].lower()) if dot > 0 else (self.base, "")
        parts = words(self.stem)
        self.kind = _kind(self, parts)
        self.core = "".join([part for part in parts if part not in _TEST_WORDS])
        """What remains of the name without what marks a test, lower case: calc of test_calc, calc.spec, CalcTest."""


def _kind(name: Name, parts: Sequence[str]) -> str:
    if name.suffix in CODE_SUFFIXES:
        return CODE if _TEST_WORDS.isdisjoint(parts) and _TEST_WORDS.isdisjoint(words_of_folder(name.folder)) else TEST
    if _LOCALE.search(name.path):
        return LOCALE
    if _CHANGES.search(name.path):
        return CHANGES
    if name.suffix in DOCS_SUFFIXES or not name.suffix and name.base.isupper():
        return DOCS
    if name.suffix in SETTINGS_SUFFIXES or name.base in SETTINGS_NAMES or name.base.startswith("."):
        return SETTINGS
    return DOCS if words_of_folder(name.folder) & _DOCS_FOLDERS else OTHER


@functools.lru_cache(maxsize=1 << 14)
def words_of_folder(folder: str) -> frozenset[str]:
    """The words of a folder's path, lower case."""
    return frozenset(words(folder))


@functools.lru_cache(maxsize=1 << 16)
def words(text: str) -> tuple[str, ...]:
    """The words of a name: get, url, path of getURL_path; lower case."""
    return tuple(part.lower() for part in _SPLIT.findall(text))


@functools.lru_cache(maxsize=1 << 17)
def name_of(path: str) -> Name:
    """The parts of `path`."""
    return Name(path)


def nearness(one: str, other: str) -> float:
    """How near two folders lie: 1 the same, less with every step up and down."""
    if one == other:
        return 1.0
    first, second = one.split("/") if one else [], other.split("/") if other else []
    shared = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        shared += 1
    return 1.0 / (1.0 + len(first) + len(second) - 2 * shared)
