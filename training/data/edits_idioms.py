"""Edits of expressions that have a better form: `is None`, `not in`, truth tests, literals, augmented assignment, `super()`.

Real code mostly has the better form already: it is then the gold, and the other form is shown."""

from __future__ import annotations

import ast
import re
from random import Random

from . import layout
from .names import Pools, dotted
from .splice import Change, Splice
from .view import Draft, View

_NONE = re.compile(rb"\bis (?:not )?None\b|[!=]= None\b")
_NOT_IN = re.compile(rb"\bnot in\b|\bis not \w|\bnot \w[\w.]* (?:in|is)\b")
_LENGTH = re.compile(rb"\b(?:if|while|and|or|assert|return) (?:not )?[\w.]+(?::| and| or|$)|len\([\w.]+\) *(?:==|!=|>) *0", re.M)
_DISPLAY = re.compile(rb"\b(?:dict|list|tuple)\(\)|(?<![\w\])])(?:\[\]|\{\}|\(\))")
_AUGMENTED = re.compile(rb"^[ \t]*([\w.]+) (?:[-+*/]=|= \1 [-+*/]) ", re.M)
_SUPER = re.compile(rb"\bsuper\(")
_OBJECT = re.compile(rb"^[ \t]*class \w+(?:\(object\))?:", re.M)
_OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%"}


def _said(view: View, rng: Random, count: int, shown: str, **slots: str) -> tuple[str, dict[str, str]] | None:
    """(variant, slots): the plain form where the region has one such place, else with the text that is meant."""
    if count == 1 and rng.random() < 0.55:
        return "only", slots
    return ("text", slots | {"what": shown}) if layout.is_quotable(shown) else None


def compare_none(view: View, rng: Random, pools: Pools) -> Draft | None:
    """`x == None` becomes `x is None`, `!=` `is not`."""
    pairs = {ast.Is: ("is", "=="), ast.IsNot: ("is not", "!="), ast.Eq: ("is", "=="), ast.NotEq: ("is not", "!=")}
    rows = []
    for node in view.find(ast.Compare):
        right = node.comparators[0]
        if len(node.ops) == 1 and type(node.ops[0]) in pairs and isinstance(right, ast.Constant) and right.value is None:
            between = view.text[view.end(node.left) : view.start(right)]
            if re.fullmatch(rb" (?:is|is not|==|!=) ", between):
                rows.append((node, isinstance(node.ops[0], (ast.Is, ast.IsNot)), *pairs[type(node.ops[0])]))
    wrong = [row for row in rows if not row[1]]
    if not rows:
        return None
    chosen = [rng.choice(rows)] if not wrong or rng.random() < 0.5 else wrong
    if not wrong and len(rows) > 1 and rng.random() < 0.3:
        chosen = rows
    inverse = not wrong
    splices, changes = [], {}
    for node, good, better, worse in chosen:
        if good != inverse:
            return None
        place = Splice(view.end(node.left), view.start(node.comparators[0]), f" {worse if inverse else better} ".encode())
        splices.append(place)
        negative = better == "is not"
        operator = (ast.NotEq() if negative else ast.Eq()) if inverse else (ast.IsNot() if negative else ast.Is())
        changes[id(node)] = Change(fields={"ops": [operator]})
    if not inverse and len(chosen) < len(wrong):
        text = view.source_of(chosen[0][0])
        return Draft("compare_none", "text", {"what": text}, splices, changes) if layout.is_unique(view, text) else None
    left = view.source_of(chosen[0][0].left)
    shown = f"{left} {chosen[0][3]} None"
    said = ("every", {}) if len(chosen) > 1 else _said(view, rng, 1, shown)
    return Draft("compare_none", said[0], said[1], splices, changes, inverse) if said else None


def absent_none(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """Comparisons with None by `==` where there are none."""
    return None if re.search(rb"[!=]= ?None", view.region) else (rng.choice(("every", "only")), {})


def not_in(view: View, rng: Random, pools: Pools) -> Draft | None:
    """`not x in y` becomes `x not in y`, `not x is y` `x is not y`."""
    rows: list[tuple[ast.expr, ast.Compare, bool]] = []
    for node in view.find(ast.Compare):
        parent = view.parent(node)
        if len(node.ops) != 1 or not isinstance(node.ops[0], (ast.In, ast.NotIn, ast.Is, ast.IsNot)):
            continue
        if isinstance(parent, ast.UnaryOp) and isinstance(parent.op, ast.Not) and isinstance(node.ops[0], (ast.In, ast.Is)):
            if view.text[view.start(parent) : view.start(node)] == b"not ":
                rows.append((parent, node, False))
        elif isinstance(node.ops[0], (ast.NotIn, ast.IsNot)) and not isinstance(parent, (ast.UnaryOp, ast.BinOp, ast.Compare)):
            rows.append((node, node, True))
    wrong = [row for row in rows if not row[2]]
    if not rows or len(wrong) > 1:
        return None
    outer, node, good = wrong[0] if wrong else rng.choice(rows)
    left, right = node.left, node.comparators[0]
    word = "in" if isinstance(node.ops[0], (ast.In, ast.NotIn)) else "is"
    better = "not in" if word == "in" else "is not"
    between = view.text[view.end(left) : view.start(right)]
    if between != f" {better if good else word} ".encode() or node.lineno != node.end_lineno:
        return None
    if good:
        splices = [Splice(view.start(node), view.start(node), b"not "), Splice(view.end(left), view.start(right), f" {word} ".encode())]
        change = Change(node=ast.UnaryOp(ast.Not(), ast.Compare(left, [ast.In() if word == "in" else ast.Is()], [right])))
    else:
        splices = [Splice(view.start(outer), view.start(node), b""), Splice(view.end(left), view.start(right), f" {better} ".encode())]
        change = Change(node=ast.Compare(left, [ast.NotIn() if word == "in" else ast.IsNot()], [right]))
    said = _said(view, rng, 1, f"not {view.source_of(left)} {word} {view.source_of(right)}", new=better)
    return Draft("not_in", said[0], said[1], splices, {id(outer): change}, good) if said else None


def _tests(view: View) -> list[ast.expr]:
    """The expressions of the region that only their truth matters of."""
    found = []
    for node in view.find(ast.If, ast.While, ast.IfExp, ast.Assert):
        stack = [node.test]
        while stack:
            one = stack.pop()
            if isinstance(one, ast.BoolOp):
                stack += one.values
            else:
                found.append(one)
    return [node for node in found if view.contains(node) and node.lineno == node.end_lineno]


def empty_test(view: View, rng: Random, pools: Pools) -> Draft | None:
    """`len(x) == 0` becomes `not x`, `len(x) > 0` and `len(x) != 0` `x`, where only the truth matters."""
    rows: list[tuple[ast.expr, ast.expr, bool, bool]] = []  # (test, tested, empty is meant, it is the better form already)
    for node in _tests(view):
        inner = node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not) else node
        if isinstance(inner, (ast.Name, ast.Attribute)) and dotted(inner):
            if view.source_of(node) in (dotted(inner), f"not {dotted(inner)}"):
                rows.append((node, inner, inner is not node, True))
        elif isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.comparators[0], ast.Constant):
            call = node.left
            is_length = isinstance(call, ast.Call) and dotted(call.func) == "len" and len(call.args) == 1 and dotted(call.args[0])
            zero = node.comparators[0].value == 0 and not isinstance(node.comparators[0].value, bool)
            if is_length and zero and isinstance(node.ops[0], (ast.Eq, ast.NotEq, ast.Gt)):
                rows.append((node, call.args[0], isinstance(node.ops[0], ast.Eq), False))
    wrong = [row for row in rows if not row[3]]
    plural = [row for row in rows if row[3] and re.search(r"(?:s|list|items|data|queue|stack|buffer|args|text|line)$", dotted(row[1]))]
    if wrong and (rng.random() < 0.8 or not plural):
        node, inner, empty, _ = rng.choice(wrong)
        said = _said(view, rng, len(wrong), view.source_of(node), new="not " + view.source_of(inner) if empty else view.source_of(inner))
        new = ast.UnaryOp(ast.Not(), inner) if empty else inner
        text = ("not " if empty else "") + view.source_of(inner)
        return (
            Draft("empty_test", said[0], said[1], [Splice(*layout.span(view, node), text.encode())], {id(node): Change(node=new)})
            if said
            else None
        )
    if not plural or wrong:
        return None
    node, inner, empty, _ = rng.choice(plural)
    operator = "==" if empty else rng.choice((">", "!="))
    shown = f"len({dotted(inner)}) {operator} 0"
    said = _said(view, rng, 1, shown, new=view.source_of(node))
    if said is None:
        return None
    change = {id(node): Change(node=layout.expression(shown))}
    return Draft("empty_test", said[0], said[1], [Splice(*layout.span(view, node), shown.encode())], change, True)


def absent_length(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """A test of a length where there is none."""
    return None if b"len(" in view.region else ("only", {})


_EMPTY = {"dict": "{}", "list": "[]", "tuple": "()"}


def _is_empty(node: ast.expr) -> str:
    """The name of the type that an empty display or a bare call makes, else ""."""
    if isinstance(node, ast.Dict) and not node.keys:
        return "dict"
    if isinstance(node, (ast.List, ast.Tuple)) and not node.elts and isinstance(node.ctx, ast.Load):
        return type(node).__name__.lower()
    if isinstance(node, ast.Call) and not node.args and not node.keywords and dotted(node.func) in _EMPTY:
        return dotted(node.func)
    return ""


def empty_literal(view: View, rng: Random, pools: Pools) -> Draft | None:
    """`dict()`, `list()`, `tuple()` become `{}`, `[]`, `()`, or the other way round where asked."""
    groups: dict[str, list[ast.expr]] = {}
    for node in view.find(ast.Call, ast.Dict, ast.List, ast.Tuple):
        kind = _is_empty(node)
        if kind:
            groups.setdefault(f"{kind}()" if isinstance(node, ast.Call) else _EMPTY[kind], []).append(node)
    if not groups:
        return None
    old = rng.choice(sorted(groups))
    nodes = groups[old]
    new = _EMPTY[old[:-2]] if len(old) > 2 else next(f"{name}()" for name, text in _EMPTY.items() if text == old)
    if len(old) > 2 or rng.random() < 0.25 or new in groups:
        inverse = False
    else:
        inverse, old, new = True, new, old
    text = (old if inverse else new).encode()
    if any(view.source_of(node) != (new if inverse else old) for node in nodes):
        return None
    splices = [Splice(*layout.span(view, node), text) for node in nodes]
    changes = {id(node): Change(node=layout.expression(text.decode())) for node in nodes}
    return Draft("empty_literal", "literal", {"old": old, "new": new}, splices, changes, inverse)


def absent_literal(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """An empty call where there is none."""
    name = rng.choice(tuple(_EMPTY))
    return None if f"{name}()".encode() in view.region else ("literal", {"old": f"{name}()", "new": _EMPTY[name]})


def augment(view: View, rng: Random, pools: Pools) -> Draft | None:
    """`x = x + 1` becomes `x += 1`; spelled out where asked. Real augmented assignments are shown spelled out too."""
    rows: list[tuple[ast.stmt, ast.expr, ast.operator, ast.expr, bool]] = []
    for node in view.find(ast.AugAssign, ast.Assign):
        if isinstance(node, ast.AugAssign):
            if type(node.op) in _OPERATORS and dotted(node.target) and node.lineno == node.end_lineno:
                rows.append((node, node.target, node.op, node.value, True))
        elif len(node.targets) == 1 and isinstance(node.value, ast.BinOp) and type(node.value.op) in _OPERATORS:
            target, value = node.targets[0], node.value
            if dotted(target) and dotted(target) == dotted(value.left) and node.lineno == node.end_lineno:
                rows.append((node, target, value.op, value.right, False))
    if not rows:
        return None
    node, target, operator, value, good = rng.choice(rows)
    name, sign = dotted(target), _OPERATORS[type(operator)]
    text = view.source_of(value)
    if view.text[view.start(value) - 1 : view.start(value)] != b" " or isinstance(
        value, (ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Lambda)
    ):
        return None
    short, long = f"{name} {sign}= {text}", f"{name} = {name} {sign} {text}"
    if view.source_of(node) != (short if good else long):
        return None
    spell = good and rng.random() < 0.25
    inverse = good and not spell
    if good:
        new: ast.stmt = ast.Assign([target], ast.BinOp(layout.expression(name), operator, value), None)
    else:
        new = ast.AugAssign(target, operator, value)
    splice = Splice(*layout.span(view, node), (long if good else short).encode())
    asked, shown = (long, short) if spell else (short, long)
    if count_stmt(view, short if good else long) > 1:
        return None
    same = sum(row[4] == good for row in rows)
    if spell:
        said = ("spelled", {"what": shown, "new": asked})
    elif (same == 1 or inverse and all(row[4] for row in rows)) and rng.random() < 0.5:
        said = ("only", {"sign": f"{sign}="})
    else:
        said = ("text", {"what": shown, "new": asked, "sign": f"{sign}="})
    if "what" in said[1] and not (layout.is_quotable(shown) and layout.is_quotable(asked)):
        return None
    return Draft("augment", *said, [splice], {id(node): Change(node=new)}, inverse)


def count_stmt(view: View, text: str) -> int:
    """How many lines of the region say just `text`."""
    return sum(line.split(b"#")[0].strip() == text.encode() for line in view.region.splitlines())


def modern_class(view: View, rng: Random, pools: Pools) -> Draft | None:
    """`super(Class, self)` becomes `super()`, `class A(object)` `class A`. Real `super()` calls are shown with arguments too."""
    rows: list[tuple[str, ast.AST, Splice, Change, bool]] = []
    for node in view.find(ast.Call):
        if dotted(node.func) != "super" or node.keywords:
            continue
        if len(node.args) == 2 and view.source_of(node.args[1]) in ("self", "cls"):
            splice = Splice(view.end(node.func), view.end(node), b"()")
            rows.append(("super", node, splice, Change(fields={"args": []}), False))
        elif not node.args:
            holder = view.parent(node)
            while holder is not None and not isinstance(holder, ast.ClassDef):
                holder = view.parent(holder)
            function = view.parent(node)
            while function is not None and not isinstance(function, (ast.FunctionDef, ast.Lambda, ast.AsyncFunctionDef)):
                function = view.parent(function)
            first = function.args.args[0].arg if isinstance(function, ast.FunctionDef) and function.args.args else ""
            if holder is not None and first in ("self", "cls"):
                args = [layout.expression(holder.name), layout.expression(first)]
                splice = Splice(view.end(node.func), view.end(node), f"({holder.name}, {first})".encode())
                rows.append(("super", node, splice, Change(fields={"args": args}), True))
    for node in view.find(ast.ClassDef):
        head = re.compile(rb"class " + node.name.encode() + rb"(\(object\))?:").match(view.text, view.start(node))
        if head and not node.keywords and len(node.bases) <= 1:
            good = not node.bases
            place = view.start(node) + len(b"class " + node.name.encode())
            splice = Splice(place, place, b"(object)") if good else Splice(place, head.end() - 1, b"")
            bases = [layout.expression("object")] if good else []
            rows.append(("object", node, splice, Change(fields={"bases": bases}), good))
    if not rows:
        return None
    variant = rng.choice(sorted({row[0] for row in rows}))
    mine = [row for row in rows if row[0] == variant]
    inverse = all(row[4] for row in mine)
    if not inverse and any(row[4] for row in mine):
        mine = [row for row in mine if not row[4]]
    name = mine[0][1].name if variant == "object" and len(mine) == 1 else ""
    if variant == "object" and len(mine) > 1:
        return None
    return Draft(
        "modern_class", variant, {"func": name} if name else {}, [row[2] for row in mine], {id(row[1]): row[3] for row in mine}, inverse
    )


def absent_super(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """Arguments of super where it has none."""
    return None if re.search(rb"super\([^)]", view.region) else ("super", {})


KINDS = {
    "compare_none": (compare_none, 6, _NONE),
    "not_in": (not_in, 5, _NOT_IN),
    "empty_test": (empty_test, 9, _LENGTH),
    "empty_literal": (empty_literal, 4, _DISPLAY),
    "augment": (augment, 4, _AUGMENTED),
    "modern_class": (modern_class, 5, re.compile(_SUPER.pattern + b"|" + _OBJECT.pattern, re.M)),
}

ABSENT = {"compare_none": absent_none, "empty_test": absent_length, "empty_literal": absent_literal, "modern_class": absent_super}

TEMPLATES = {
    "compare_none": {
        "only": (
            "compare [with|to] None using is",
            "use `is` for the None comparison",
            "fix the comparison with None",
            "None should be compared with is",
            "pep8: comparison to None",
            "don't compare to None with ==",
            "E711",
            "[correct|fix] the None check",
            "use is / is not for None",
            "identity, not equality, for None",
        ),
        "text": (
            "{what} should use is",
            "compare with is in {what}",
            "replace {what} with an identity check",
            "{what}: use is[ / is not|]",
            "fix {what}, None needs is",
            "use is instead of equality in {what}",
            "pep8: {what}",
            "make {what} an identity comparison",
            "no == or != in {what}",
        ),
        "every": (
            "compare [with|to] None using is[ everywhere|]",
            "fix all comparisons with None",
            "use is / is not for every None check",
            "all None comparisons should use is",
            "pep8: comparisons to None",
            "E711 everywhere",
            "no == None or != None",
            "don't use == or != with None",
            "turn every == None into is None",
        ),
    },
    "not_in": {
        "only": (
            "use {new}",
            "use {new} here",
            "write it with {new}",
            "pep8: use {new}",
            "the test should use {new}",
            "put the not where it belongs ({new})",
            "rewrite the negated test with {new}",
            "{new} please",
            "make the test read {new}",
        ),
        "text": (
            "use {new} in {what}",
            "rewrite {what} with {new}",
            "{what} should use {new}",
            "{what}: {new}",
            "write {what} using {new}",
            "pep8: {what} -> {new}",
            "make {what} read {new}",
            "turn {what} into {new}",
            "fix {what}, it should be {new}",
        ),
    },
    "empty_test": {
        "only": (
            "don't compare the length [with|to] zero",
            "use truthiness instead of len",
            "simplify the length check",
            "no len() in the condition",
            "test for emptiness without len",
            "pythonic empty check",
            "use the truth value, not the length",
            "drop the len() comparison",
            "[check|test] emptiness the pythonic way",
            "simplify the emptiness test",
        ),
        "text": (
            "simplify {what}",
            "use truthiness instead of {what}",
            "{what} -> {new}",
            "replace {what} [with|by] {new}",
            "{what} can be simpler",
            "no len() in {what}",
            "write {new} instead of {what}",
            "pythonic version of {what}",
            "{what} should be {new}",
            "rewrite {what} without len",
        ),
    },
    "empty_literal": {
        "literal": (
            "use {new} instead of {old}",
            "replace {old} [with|by] {new}",
            "{old} -> {new}",
            "write {new}, not {old}",
            "change {old} to {new}",
            "every {old} should be {new}",
            "{new} in place of {old}",
            "prefer {new} over {old}",
            "turn {old} into {new}",
            "no {old}, {new}",
            "swap {old} for {new}",
        ),
    },
    "augment": {
        "only": (
            "use {sign}",
            "use an augmented assignment",
            "shorten the assignment with {sign}",
            "write it with {sign}",
            "simplify the assignment",
            "{sign} please",
            "use in-place {sign}",
            "make it an augmented assignment",
            "the assignment could use {sign}",
        ),
        "text": (
            "use {sign} in {what}",
            "{what} -> {new}",
            "shorten {what}",
            "write {what} as {new}",
            "{what} should use {sign}",
            "replace {what} [with|by] {new}",
            "augmented assignment for {what}",
            "simplify {what}",
            "{new} instead of {what}",
            "turn {what} into an augmented assignment",
        ),
        "spelled": (
            "write {what} as {new}",
            "{what} -> {new}",
            "spell out {what}: {new}",
            "replace {what} [with|by] {new}",
            "no augmented assignment: {new}",
            "{new} instead of {what}",
            "change {what} to {new}",
            "use {new}, not {what}",
            "turn {what} into {new}",
        ),
    },
    "modern_class": {
        "super": (
            "use super() without arguments",
            "super() needs no arguments",
            "simplify [the |]super call[s|]",
            "python 3 style super",
            "drop the arguments of super",
            "modernise super()",
            "just super()",
            "remove the arguments from super()",
            "no arguments for super in python 3",
            "plain super() call",
        ),
        "object": (
            "remove the object base class[ of {func}|]",
            "{func} need not inherit from object",
            "drop (object) from [class |]{func}",
            "python 3: no object base for {func}",
            "class {func} without object",
            "{func}: remove (object)",
            "modernise class {func}",
            "new-style class syntax for {func}",
            "inheriting from object is not needed in {func}",
            "delete the object base of {func}",
        ),
    },
}
