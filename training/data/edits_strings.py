"""Edits of strings: `%` and `.format` to f-strings and back, one quote for the other."""

from __future__ import annotations

import ast
import re
import string
from random import Random

from . import layout
from .names import Pools
from .splice import Change, Splice
from .view import Draft, View

_FORMATTED = re.compile(rb"""\bf(['"])[^'"\\\n{}]*\{|\.format\(|['"] % """)
_FSTRING = re.compile(rb"""\bf(['"])[^'"\\\n{}]*\{""")
_QUOTED = re.compile(rb"""(['"])[^'"\\\n]*\1""")
_CONVERSION = re.compile(r"%(?:%|(?P<spec>[0-9]*(?:\.[0-9]+)?)(?P<type>[srdfx]))")
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[\d+\])*")
_PLAIN = re.compile(r"""[^'"\\\n]*""")

Part = tuple[str, str, str, str]  # (literal text, expression or "", format spec, conversion "" or "r")


def _fstring_parts(view: View, node: ast.JoinedStr) -> tuple[list[Part], str] | None:
    """(parts, quote) of an f-string on one line whose fields are names, attributes and items."""
    text = view.source_of(node)
    quote = text[-1:]
    if node.lineno != node.end_lineno or not re.fullmatch(rf"f{quote}[^'\"\\\n]*{quote}", text) or quote not in ("'", '"'):
        return None
    try:
        rows = [(a, b or "", c or "", d or "") for a, b, c, d in string.Formatter().parse(text[2:-1])]
    except ValueError:
        return None
    good = all((not b or _NAME.fullmatch(b)) and "{" not in c and d in ("", "r") for _, b, c, d in rows)
    fields = sum(bool(b) for _, b, _, _ in rows)
    return (rows, quote) if good and 0 < fields <= 4 and not any("{" in a or "}" in a for a, _, _, _ in rows) else None


def _to_format(parts: list[Part], quote: str) -> str:
    """The same text made by str.format with positional fields."""
    text = "".join(a + ("{" + ("!r" if d else "") + (":" + c if c else "") + "}" if b else "") for a, b, c, d in parts)
    return f"{quote}{text}{quote}.format({', '.join(b for _, b, _, _ in parts if b)})"


def _to_percent(parts: list[Part], quote: str) -> str:
    """The same text made by the % operator; "" where a field has a spec that `%` lacks or the text holds a percent sign."""
    fields = [b for _, b, _, _ in parts if b]
    if any("%" in a or c and not re.fullmatch(r"[0-9]*(\.[0-9]+)?[dfx]", c) or c and d for a, b, c, d in parts):
        return ""
    text = "".join(a + ("%r" if d else "%" + (c or "s") if b else "") for a, b, c, d in parts)
    return f"{quote}{text}{quote} % " + (f"({', '.join(fields)})" if len(fields) > 1 else fields[0])


def _percent_parts(node: ast.BinOp) -> list[Part] | None:
    """The parts of `"…" % x` or `"…" % (x, y)` with %s, %r, %d, %f and %x and simple operands."""
    values = node.right.elts if isinstance(node.right, ast.Tuple) else [node.right]
    text, parts, position = node.left.value, [], 0
    for match in _CONVERSION.finditer(text):
        if match[0] == "%%" or match["type"] == "s" and match["spec"]:
            return None
        spec = match["spec"] + match["type"] if match["type"] in "dfx" else ""
        if len(parts) == len(values):
            return None
        parts.append((text[position : match.start()], ast.unparse(values[len(parts)]), spec, "r" if match["type"] == "r" else ""))
        position = match.end()
    return [*parts, (text[position:], "", "", "")] if parts and len(parts) == len(values) and "%" not in text[position:] else None


def _format_parts(node: ast.Call) -> list[Part] | None:
    """The parts of `"…".format(x, name=y)` with automatic or named fields used once each."""
    given = {str(i): ast.unparse(one) for i, one in enumerate(node.args)} | {
        word.arg: ast.unparse(word.value) for word in node.keywords if word.arg
    }
    try:
        rows = [(a, b, c or "", d or "") for a, b, c, d in string.Formatter().parse(node.func.value.value)]
    except ValueError:
        return None
    parts, used = [], []
    for text, field, spec, conversion in rows:
        if field is None:
            parts.append((text, "", "", ""))
            continue
        key = field or str(len(used))
        if key not in given or "{" in spec or conversion not in ("", "r"):
            return None
        used.append(key)
        parts.append((text, given[key], spec, conversion))
    return parts if used and sorted(used) == sorted(given) and len(given) == len(node.args) + len(node.keywords) else None


def _fstring(parts: list[Part], quote: str) -> tuple[str, ast.JoinedStr] | None:
    """(source, tree) of the f-string of some parts; the tree is put together from the parts, not from the source."""
    if not all(
        (not b or _NAME.fullmatch(b)) and _PLAIN.fullmatch(a) and not set(a) & set("{}") and _PLAIN.fullmatch(c) for a, b, c, _ in parts
    ):
        return None
    values: list[ast.expr] = []
    for text, field, spec, conversion in parts:
        if text:
            values.append(ast.Constant(text, None))
        if field:
            inner = ast.JoinedStr([ast.Constant(spec, None)]) if spec else None
            values.append(ast.FormattedValue(layout.expression(field), ord("r") if conversion else -1, inner))
    source = "".join(a + ("{" + b + ("!r" if d else "") + (":" + c if c else "") + "}" if b else "") for a, b, c, d in parts)
    return f"f{quote}{source}{quote}", ast.JoinedStr(values)


def _old_style(view: View) -> list[tuple[ast.expr, list[Part], str, str]]:
    """(node, parts, quote, style) of the `%` and `.format` texts of the region on one line."""
    found = []
    for node in view.find(ast.BinOp, ast.Call):
        if isinstance(node, ast.BinOp):
            left = node.left if isinstance(node.op, ast.Mod) else None
            style = "%"
        else:
            left = node.func.value if isinstance(node.func, ast.Attribute) and node.func.attr == "format" else None
            style = ".format"
        if not isinstance(left, ast.Constant) or not isinstance(left.value, str) or node.lineno != node.end_lineno:
            continue
        text = view.source_of(left)
        if not re.fullmatch(r"""(['"])[^'"\\\n]*\1""", text):
            continue
        parts = _percent_parts(node) if style == "%" else _format_parts(node)
        if parts is not None:
            found.append((node, parts, text[0], style))
    return found


def _fstrings(view: View) -> list[tuple[ast.JoinedStr, list[Part], str]]:
    found = []
    for node in view.find(ast.JoinedStr):
        parts = _fstring_parts(view, node)
        if parts is not None:
            found.append((node, *parts))
    return found


def _said(view: View, count: int, text: str, rng: Random) -> tuple[str, dict[str, str]] | None:
    """(variant, slots): "it" where there is one, else the text that is meant."""
    if count == 1 and rng.random() < 0.6:
        return "only", {}
    return ("text", {"what": text}) if layout.is_quotable(text) else None


def to_fstring(view: View, rng: Random, pools: Pools) -> Draft | None:
    """An f-string for a `%` or `.format` text. Real f-strings are shown as one of those too."""
    old = _old_style(view)
    if old and (rng.random() < 0.7 or not _fstrings(view)):
        node, parts, quote, style = rng.choice(old)
        new = _fstring(parts, quote)
        said = _said(view, len(old), view.source_of(node), rng)
        if new is None or said is None:
            return None
        slots = said[1] | {"old": style}
        return Draft("to_fstring", said[0], slots, [Splice(*layout.span(view, node), new[0].encode())], {id(node): Change(node=new[1])})
    found = _fstrings(view)
    if not found or old:
        return None
    node, parts, quote = rng.choice(found)
    text = (_to_percent(parts, quote) if rng.random() < 0.5 else "") or _to_format(parts, quote)
    if isinstance(view.parent(node), (ast.BinOp, ast.Attribute, ast.JoinedStr)) or _adjacent(view, node):
        return None
    said = _said(view, 1, text, rng)
    if said is None:
        return None
    slots = said[1] | {"old": "%" if "% " in text else ".format"}
    change = {id(node): Change(node=layout.expression(text))}
    return Draft("to_fstring", said[0], slots, [Splice(*layout.span(view, node), text.encode())], change, inverse=True)


def _adjacent(view: View, node: ast.expr) -> bool:
    """True when another literal may stand right beside a string."""
    before, after = view.text[: view.start(node)].rstrip()[-1:], view.text[view.end(node) :].lstrip()[:2]
    return before in (b"'", b'"') or after[:1] in (b"'", b'"') or after in (b"f'", b'f"', b"r'", b'r"')


def from_fstring(view: View, rng: Random, pools: Pools) -> Draft | None:
    """`.format` or `%` for an f-string."""
    found = _fstrings(view)
    if not found:
        return None
    node, parts, quote = rng.choice(found)
    if isinstance(view.parent(node), (ast.BinOp, ast.Attribute, ast.JoinedStr)) or _adjacent(view, node):
        return None
    percent = _to_percent(parts, quote) if rng.random() < 0.4 else ""
    new = percent or _to_format(parts, quote)
    said = _said(view, len(view.find(ast.JoinedStr)), view.source_of(node), rng)
    if said is None:
        return None
    slots = said[1] | {"new": "%" if percent else ".format"}
    return Draft(
        "from_fstring", said[0], slots, [Splice(*layout.span(view, node), new.encode())], {id(node): Change(node=layout.expression(new))}
    )


def absent_fstring(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """An f-string where there is none."""
    return None if view.facts.by_type.get(ast.JoinedStr) else ("only", {"new": rng.choice(("%", ".format"))})


def absent_old_style(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """A `%` or `.format` text where there is none."""
    return None if b"%" in view.region or b"format" in view.region else ("only", {"old": rng.choice(("%", ".format"))})


def quotes(view: View, rng: Random, pools: Pools) -> Draft | None:
    """One quote for the other in every plain string of the region, or in one string."""
    by_quote: dict[str, list[tuple[ast.expr, str]]] = {"'": [], '"': []}
    for node in view.find(ast.Constant, ast.JoinedStr):
        text = view.source_of(node)
        if isinstance(node, ast.JoinedStr) or isinstance(node.value, (str, bytes)):
            match = re.fullmatch(r"""[rRbBuUfF]{0,2}(['"])([^'"\\\n]*)\1""", text)
            if match is None:
                if not re.match(r"""[rRbBuUfF]{0,2}('''|\"\"\")""", text):
                    return None  # a string that another quote may or may not become
                continue
            by_quote[match[1]].append((node, text))
    old = rng.choice("'\"")
    rows = by_quote[old]
    if not rows:
        return None
    new = '"' if old == "'" else "'"
    name = {"'": "single", '"': "double"}
    slots = {"text": name[new], "was": name[old]}
    variant = "every"
    if len(rows) > 1 and rng.random() < 0.4:
        rows = [rng.choice(rows)]
        if not layout.is_quotable(rows[0][1]) or [text for _, text in by_quote[old]].count(rows[0][1]) > 1:
            return None
        variant, slots = "one", slots | {"what": rows[0][1]}
    splices = []
    for node, text in rows:
        at = view.start(node) + text.index(old)
        splices += [Splice(at, at + 1, new.encode()), Splice(view.end(node) - 1, view.end(node), new.encode())]
    return Draft("quotes", variant, slots, splices, {})


def absent_quotes(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """Quotes that the region already has."""
    if b"'" not in view.region and b'"' in view.region:
        return "every", {"text": "double", "was": "single"}
    if b'"' not in view.region and b"'" in view.region:
        return "every", {"text": "single", "was": "double"}
    return None


KINDS = {
    "to_fstring": (to_fstring, 8, _FORMATTED),
    "from_fstring": (from_fstring, 4, _FSTRING),
    "quotes": (quotes, 4, _QUOTED),
}

ABSENT = {"to_fstring": absent_old_style, "from_fstring": absent_fstring, "quotes": absent_quotes}

TEMPLATES = {
    "to_fstring": {
        "only": (
            "use an f-string",
            "[convert|change|turn] the {old} formatting [in|]to an f-string",
            "f-string[ please| pls|]",
            "replace {old} [with|by] an f-string",
            "use an f-string instead of {old}",
            "make it an f-string",
            "no {old}, use an f-string",
            "write the string as f-string",
            "{old} -> f-string",
            "modernise the string formatting",
            "rewrite with an f-string",
        ),
        "text": (
            "[convert|change|turn] {what} [in|]to an f-string",
            "use an f-string for {what}",
            "make {what} an f-string",
            "{what} -> f-string",
            "{what} should be an f-string",
            "replace {what} [with|by] an f-string",
            "write {what} as f-string",
            "f-string instead of {what}",
            "rewrite {what} with an f-string",
            "{what}: use an f-string here",
        ),
    },
    "from_fstring": {
        "only": (
            "use {new} instead of the f-string",
            "[convert|change|turn] the f-string [in|]to {new}",
            "no f-string, use {new}",
            "replace the f-string [with|by] {new}",
            "f-string -> {new}",
            "write the f-string with {new}",
            "{new} formatting instead of f-string",
            "rewrite the f-string using {new}",
            "we can't use f-strings, use {new}",
            "format with {new}, not with an f-string",
        ),
        "text": (
            "use {new} instead of {what}",
            "[convert|change|turn] {what} [in|]to {new}",
            "write {what} with {new}",
            "replace the f-string {what} [with|by] {new}",
            "{what} -> {new}",
            "{new} formatting for {what}",
            "rewrite {what} using {new}",
            "no f-string for {what}, use {new}",
            "{what} should use {new}",
        ),
    },
    "quotes": {
        "every": (
            "use {text} quotes",
            "{text} quotes[ please| pls|]",
            "[change|convert|switch] [the |]{was} quotes to {text} quotes",
            "strings in {text} quotes",
            "{was} quotes -> {text} quotes",
            "all strings should have {text} quotes",
            "no {was} quotes, use {text} ones",
            "replace {was} quotes by {text} quotes",
            "make the quotes {text}",
            "I prefer {text} quotes",
            "use {text} instead of {was} quotes",
        ),
        "one": (
            "use {text} quotes for {what}",
            "{what} in {text} quotes",
            "[change|convert] the quotes of {what} to {text}",
            "{text} quotes around {what}",
            "write {what} with {text} quotes",
            "{what} should have {text} quotes",
            "make the quotes of {what} {text}",
            "no {was} quotes for {what}, {text} ones",
            "put {what} in {text} quotes",
        ),
    },
}
