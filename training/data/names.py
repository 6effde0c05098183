"""New identifiers and values for edits: pools taken from real code, and plausible variants of the old ones."""

from __future__ import annotations

import ast
import builtins
import keyword
import random
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from . import source

BUILTINS = frozenset(dir(builtins))
RESERVED = BUILTINS | frozenset(keyword.kwlist) | frozenset(("self", "cls", "_", "match", "case", "type", "args", "kwargs"))

SYNONYMS = {
    "a": "left first x lhs alpha",
    "b": "right second y rhs beta",
    "c": "third color char coeff",
    "d": "mapping delta days data",
    "e": "error exc element",
    "f": "handle file stream func",
    "g": "graph group gen",
    "h": "height hidden handle",
    "i": "index row position",
    "j": "column inner_index col",
    "k": "key rank num_clusters",
    "m": "match matrix count",
    "n": "count size total length num_items",
    "p": "path prob point",
    "q": "queue query",
    "r": "response radius result",
    "s": "text string source total",
    "t": "time step token",
    "u": "user unit",
    "v": "value vertex velocity",
    "w": "weight width word",
    "x": "value left inputs point",
    "y": "target right labels",
    "z": "depth latent",
    "res": "result response",
    "ret": "result output",
    "val": "value item",
    "msg": "message text",
    "idx": "index position",
    "ctx": "context",
    "cfg": "config",
    "config": "settings options",
    "num": "number count",
    "tmp": "temporary scratch",
    "temp": "temperature scratch",
    "arr": "array values",
    "lst": "items values",
    "obj": "instance target",
    "fn": "function callback",
    "func": "function callback",
    "cb": "callback",
    "req": "request",
    "resp": "response",
    "request": "incoming req",
    "response": "reply result",
    "args": "arguments",
    "kwargs": "options",
    "key": "name field",
    "value": "item entry content",
    "name": "label title identifier",
    "data": "payload content records",
    "result": "output outcome total",
    "item": "element entry",
    "items": "elements entries",
    "path": "location filename",
    "filename": "path file_path",
    "text": "content source",
    "line": "row text_line",
    "lines": "rows",
    "node": "vertex element",
    "nodes": "vertices",
    "user": "account owner",
    "size": "length width",
    "count": "total number",
    "start": "begin first",
    "end": "stop last",
    "left": "first lower",
    "right": "second upper",
    "df": "frame table",
    "params": "parameters options",
    "options": "settings params",
    "out": "output result",
    "output": "result produced",
    "input": "source given",
    "inputs": "features batch",
    "url": "link address",
    "model": "network estimator",
    "context": "ctx environment",
    "instance": "server obj",
    "timeout": "time_limit max_wait",
    "callback": "handler on_done",
    "error": "failure problem",
    "exc": "error exception",
    "session": "connection",
    "conn": "connection",
    "connection": "conn link",
    "logger": "log",
    "dtype": "data_type",
    "shape": "dims dimensions",
    "axis": "dim",
    "mask": "keep selected",
    "width": "w columns",
    "height": "h rows",
    "mode": "kind method",
    "target": "goal destination",
    "source": "origin src",
    "parent": "owner container",
    "child": "descendant",
    "index": "position offset",
    "offset": "shift start",
    "expected": "wanted correct",
    "actual": "observed got",
    "other": "another rhs",
    "fields": "columns",
    "values": "entries numbers",
    "flag": "enabled",
}
_STYLE = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


class Pools(NamedTuple):
    """Identifiers and snippets seen in real code, most frequent first."""

    variables: list[str]
    functions: list[str]
    classes: list[str]
    constants: list[str]
    attributes: list[str]
    callees: list[str]  # dotted, without calls in between
    strings: list[str]
    statements: list[str]  # simple one-line statements
    modules: list[str]
    words: list[str]


def dotted(node: ast.AST) -> str:
    """`a.b.c` for a chain of attributes that ends in a name, else ""."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def is_plain_string(text: str) -> bool:
    """True for short text that any quote can hold as it is."""
    return 1 <= len(text) <= 32 and text.isascii() and text.isprintable() and not set(text) & set("'\"\\{}`%") and text == text.strip()


def collect(src: Path, files: list[tuple[str, str]], limit: int, rng: random.Random, leaked: frozenset[bytes] = frozenset()) -> Pools:
    """Pools from at most `limit` files chosen by `rng`, without those that are copies of `leaked` function bodies."""
    counts = {field: Counter() for field in Pools._fields}
    for package, path in rng.sample(files, min(limit, len(files))):
        file = source.load(src, package, path)
        if file is None or source.copies(file, leaked)[1]:
            continue
        for node in ast.walk(file.tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                counts["constants" if node.id.isupper() else "variables"][node.id] += 1
            elif isinstance(node, ast.arg):
                counts["variables"][node.arg] += 1
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                counts["functions"][node.name] += 1
            elif isinstance(node, ast.ClassDef):
                counts["classes"][node.name] += 1
            elif isinstance(node, ast.Attribute):
                counts["attributes"][node.attr] += 1
            elif isinstance(node, ast.Call):
                name = dotted(node.func)
                if name and len(name) <= 40:
                    counts["callees"][name] += 1
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and is_plain_string(node.value):
                counts["strings"][node.value] += 1
            elif isinstance(node, ast.Import):
                counts["modules"].update(alias.name for alias in node.names)
            if isinstance(node, (ast.Expr, ast.Assign)) and node.lineno == node.end_lineno and not isinstance(node.value, ast.Constant):
                text = file.lines[node.lineno - 1][node.col_offset : node.end_col_offset].decode("utf-8", "ignore")
                if 6 <= len(text) <= 60 and text.isascii():
                    counts["statements"][text] += 1
    for name, count in (counts["variables"] + counts["functions"]).items():
        counts["words"].update(
            {word.lower(): count for word in _STYLE.findall(name) if 2 <= len(word) <= 12 and word.isalpha() and word.isascii()}
        )

    def ranked(field: str) -> list[str]:
        names = [name for name in counts[field] if field in ("strings", "statements", "callees", "modules") or _usable(name)]
        return sorted(names, key=lambda name: (-counts[field][name], name))

    return Pools(*(ranked(field) for field in Pools._fields))


def words_of(name: str) -> list[str]:
    """The words that an identifier is made of, in lower case."""
    return [word.lower() for word in _STYLE.findall(name)]


def _usable(name: str) -> bool:
    return name.isascii() and name.isidentifier() and name not in RESERVED and not name.startswith("__") and len(name) <= 32


def pick(rng: random.Random, ranked: list[str]) -> str:
    """An entry of a ranked list; frequent ones come a little more often."""
    return ranked[int(len(ranked) * rng.random() ** 1.5)]


def _styled(words: list[str], like: str) -> str:
    if like.isupper() and len(like) > 1:
        return "_".join(words).upper()
    if like[:1].isupper():
        return "".join(word.capitalize() for word in words)
    if "_" not in like.strip("_") and re.search(r"[a-z][A-Z]", like):
        return words[0] + "".join(word.capitalize() for word in words[1:])
    lead = like[: len(like) - len(like.lstrip("_"))]
    return lead + "_".join(words)


def _variant(rng: random.Random, old: str, pools: Pools) -> str:
    """A name near the old one: a synonym, one word more, less or other, a number."""
    words = [word.lower() for word in _STYLE.findall(old)] or [old.strip("_") or "value"]
    choice = rng.random()
    if old in SYNONYMS and choice < 0.6:
        return rng.choice(SYNONYMS[old].split())
    word = pick(rng, pools.words)
    extra = rng.choice(
        (
            "new",
            "old",
            "current",
            "raw",
            "my",
            "base",
            "total",
            "num",
            "max",
            "min",
            "is",
            "has",
            "all",
            "next",
            "last",
            "first",
            word,
            word,
        )
    )
    if choice < 0.7:
        return _styled([extra, *words], old)
    if choice < 0.85:
        return _styled(
            [*words, rng.choice(("name", "value", "list", "id", "index", "count", "data", "map", "path", "info", "2", word, word))], old
        )
    if len(words) > 1 and choice < 0.93:
        words[rng.randrange(len(words))] = word
        return _styled(words, old)
    if len(words) > 1:
        del words[rng.randrange(len(words))]
        return _styled(words, old)
    return _styled([word, words[0]], old)


def new_name(rng: random.Random, old: str, pool: list[str], pools: Pools, taken: set[str]) -> str:
    """An identifier that could stand for `old`, in its style, not in `taken`; "" when none turned up."""
    for _ in range(12):
        choice = rng.random()
        if choice < 0.35:
            name = _variant(rng, old, pools)
        elif choice < 0.7:
            name = pick(rng, pool) if pool else ""
        elif choice < 0.95:
            name = _styled([pick(rng, pools.words) for _ in range(rng.choice((1, 2, 2, 2, 3)))], old)
        else:
            name = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.choice((1, 1, 2, 3))))
        if _usable(name) and name != old and name not in taken:
            return name
    return ""


def new_number(rng: random.Random, old: int | float) -> str:
    """Source text of another number of the same type, near or far."""
    if isinstance(old, float):
        choices = [
            old * 2,
            old / 2,
            old * 10,
            old / 10,
            round(rng.random(), rng.choice((1, 2, 3))),
            rng.choice((0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1.0, 1.5, 2.0, 1e-3, 1e-4, 1e-6)),
        ]
        text = repr(float(f"{rng.choice(choices):.4g}"))
        return text if len(text) <= 12 else "0.5"
    digits = max(1, min(6, len(str(abs(old))) + rng.choice((0, 0, 0, 1))))
    choices = [
        old + 1,
        old - 1,
        old * 2,
        old * 10,
        old // 2,
        rng.choice(
            (2, 3, 4, 5, 8, 10, 12, 16, 20, 24, 30, 32, 50, 60, 64, 100, 128, 200, 256, 300, 500, 512, 600, 1000, 1024, 3600, 4096, 8080)
        ),
    ]
    choices += [rng.randrange(10**digits) for _ in range(4)]
    return str(rng.choice(choices))


def new_string(rng: random.Random, old: str, pools: Pools) -> str:
    """Other text for a string literal: one word of it changed, or a string of other code."""
    words = re.findall(r"[A-Za-z]+", old)
    if words and rng.random() < 0.4:
        word = rng.choice(words)
        other = pick(rng, pools.words)
        other = other.upper() if word.isupper() and len(word) > 1 else other.capitalize() if word[0].isupper() else other
        return re.sub(rf"(?<![A-Za-z]){word}(?![A-Za-z])", other, old)
    if rng.random() < 0.3:
        return rng.choice(("_", "-", " ", "", "_")).join(pick(rng, pools.words) for _ in range(rng.choice((1, 2, 2))))
    return pick(rng, pools.strings)


def new_literal(rng: random.Random, value: object, quote: str, pools: Pools) -> str:
    """Source text of a literal to put where `value` stood; strings use `quote`. Never the same value."""
    for _ in range(10):
        choice = rng.random()
        if isinstance(value, bool):
            text = str(not value) if choice < 0.92 else "None"
        elif value is None:
            text = rng.choice(
                (
                    "True",
                    "False",
                    "0",
                    "1",
                    "10",
                    "''" if choice < 0.1 else "5",
                    new_number(rng, rng.randrange(100)),
                    new_number(rng, 0.5),
                    quote + new_string(rng, "", pools) + quote,
                )
            )
        elif choice < 0.06:
            text = "None"
        elif isinstance(value, (int, float)):
            text = new_number(rng, value)
        else:
            text = new_string(rng, str(value), pools)
            text = quote + text + quote if is_plain_string(text) else ""
        if text and (ast.literal_eval(text) != value or type(ast.literal_eval(text)) is not type(value)):
            return text
    return ""
