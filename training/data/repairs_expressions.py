"""Repairs within an expression: a wrong operator, bound, argument order, variable, condition or constant, a missing `not`, `self.`,
`await`, default, call or f.

Each function damages one node of the real code, the gold, and returns a Draft or None when the region offers nothing."""

from __future__ import annotations

import ast
import builtins
import re
from random import Random

from . import kinds
from .names import Pools, dotted
from .repairs_damage import Options, Scene, draft, expression, occurrences
from .splice import Change, Splice
from .view import Draft, View

_SIGN = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=", ast.Is: "is", ast.IsNot: "is not",
    ast.In: "in", ast.NotIn: "not in", ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%",
    ast.BitAnd: "&", ast.BitOr: "|", ast.LShift: "<<", ast.RShift: ">>", ast.And: "and", ast.Or: "or",
}  # fmt: skip
_TYPE = {sign: kind for kind, sign in _SIGN.items()}
_WRONG = {
    "<": ("<=", ">"), "<=": ("<", ">="), ">": (">=", "<"), ">=": (">", "<="), "+": ("-",), "-": ("+",), "*": ("/", "+"), "/": ("*", "//"),
    "//": ("/",), "%": ("//", "/"), "&": ("|",), "|": ("&",), "<<": (">>",), ">>": ("<<",), "and": ("or",), "or": ("and",), "is": ("==",),
    "==": ("is",), "is not": ("!=",),
}  # fmt: skip
_PAIRS = (("<", ">="), (">", "<="), ("==", "!="), ("is", "is not"), ("in", "not in"))
_OPPOSITE = {one: other for pair in _PAIRS for one, other in (pair, pair[::-1])}
_INDEX_NAME = re.compile(r"(.*_)?(i|j|k|n|m|idx|index|pos|position|start|end|stop|offset|row|col|count|size|length|low|high|lo|hi)")
_ORDER_FREE = frozenset(("max", "min", "print", "gcd", "lcm", "isclose", "assertEqual", "assert_equal", "union", "intersection", "hypot"))


def _place(scene: Scene, node: ast.AST, sign: str) -> str:
    """Words for where a node stands ("the loop condition"), when the region has one such place with `sign` in it once; else ""."""
    inner = node
    for outer in scene.around(node):
        part, words = None, ""
        if isinstance(outer, (ast.If, ast.While)) and inner is outer.test:
            part, words = outer.test, "loop condition" if isinstance(outer, ast.While) else "if condition"
        elif isinstance(outer, (ast.Return, ast.Assert)):
            part, words = outer, "return" if isinstance(outer, ast.Return) else "assert"
        if part is not None:
            same = [one for one in scene.view.facts.nodes if type(one) is type(outer)]
            return words if len(same) == 1 and occurrences(scene.damaged_source(part), sign) == 1 else ""
        if isinstance(outer, ast.stmt):
            return ""
        inner = outer
    return ""


def _operators(view: View) -> list[tuple[ast.AST, ast.AST, ast.AST, str, str]]:
    """(node, left, right, field of the operator, its sign) of the comparisons and operations with two operands; text is left alone."""
    found = []
    parts = [getattr(node, "annotation", None) or getattr(node, "returns", None) for node in view.facts.nodes]
    types = {id(inner) for part in parts if part is not None for inner in ast.walk(part)}
    for node in view.nodes:
        if id(node) in types:
            continue  # `list | None` is no arithmetic
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            right, sign = node.comparators[0], _SIGN[type(node.ops[0])]
            if sign in ("is", "is not", "==") and not (isinstance(right, ast.Constant) and right.value is None):
                continue  # `==` damaged to `is` only before None, where the two are taken for one another
            found.append((node, node.left, right, "ops", sign))
        elif isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in _SIGN:
            left, right = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.target, node.value)
            texts = (ast.JoinedStr, ast.List, ast.Tuple, ast.ListComp)
            if not any(isinstance(one, texts) or isinstance(getattr(one, "value", None), (str, bytes)) for one in (left, right)):
                found.append((node, left, right, "op", _SIGN[type(node.op)]))
        elif isinstance(node, ast.BoolOp) and len(node.values) == 2:
            found.append((node, *node.values, "op", _SIGN[type(node.op)]))
    return found


def fix_operator(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A comparison, arithmetic or boolean operator was another one."""
    found = [row for row in _operators(view) if row[4] in _WRONG]
    if not found:
        return None
    node, left, right, field, sign = rng.choice(found)
    wrong = rng.choice(_WRONG[sign])
    gap = view.text[view.end(left) : view.start(right)].decode("utf-8", "replace")
    assigns = "=" if isinstance(node, ast.AugAssign) else ""
    match = re.fullmatch(rf"([\s)]*){re.escape(sign + assigns)}[ (]*", gap)
    if not match or "\n" in gap:
        return None
    start = view.end(left) + len(match[1])
    scene = Scene(view, [Splice(start, start + len(sign), wrong.encode())])
    new = [_TYPE[wrong]()] if field == "ops" else _TYPE[wrong]()
    precise: Options = []
    old_text, new_text = wrong + assigns, sign + assigns
    if re.search(r"\w", sign + wrong):
        settled = occurrences(scene.text, old_text) == 1
    else:
        settled = len(re.findall(rf"(?<![-+*/%&|<>=!]){re.escape(old_text)}(?![<>=*/])", scene.text)) == 1
    if settled:
        precise.append(("precise_operator", {"old": old_text, "new": new_text}))
    place = _place(scene, node, old_text)
    if place:
        precise.append(("precise_place", {"old": old_text, "new": new_text, "role": place}))
    return draft("fix_operator", scene, node, {id(node): Change({field: new})}, rng, precise)


def _is_one(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and node.value == 1


def _shifted(view: View, node: ast.expr, rng: Random, free: bool) -> str:
    """The source of an index or bound that is one off, or "". Names count as numbers where `free` or by their name."""
    text = view.source_of(node)
    if isinstance(node, ast.Constant) and type(node.value) is int and text.isdigit():
        return str(max(0, node.value + rng.choice((-1, 1)))) if node.value else "1"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        value = node.operand.value
        return str(-value + rng.choice((-1, 1)) if value > 1 else -2) if type(value) is int else ""
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)) and _is_one(node.right):
        return view.source_of(node.left)
    name = dotted(node)
    call = isinstance(node, ast.Call) and dotted(node.func) == "len"
    if call or (name and (free or _INDEX_NAME.fullmatch(name.split(".")[-1]))):
        return text + rng.choice((" - 1", " + 1"))
    return ""


def fix_off_by_one(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A bound of range, an index or a bound of a slice was one off."""
    sites: list[tuple[ast.expr, bool, str]] = []  # (node, may be any name, what it is)
    for node in view.nodes:
        if isinstance(node, ast.Call) and dotted(node.func) == "range" and len(node.args) in (1, 2) and not node.keywords:
            sites += [(node.args[-1], True, "stop"), *([(node.args[0], True, "start")] if len(node.args) == 2 else [])]
        elif isinstance(node, ast.Subscript) and dotted(node.value).split(".")[-1] != "Literal":
            if isinstance(node.slice, ast.Slice):
                sites += [(one, True, "") for one in (node.slice.lower, node.slice.upper) if one is not None]
            else:
                sites.append((node.slice, False, ""))
    sites = [row for row in sites if not isinstance(row[0], ast.Starred) and view.contains(row[0]) and row[0].lineno == row[0].end_lineno]
    if not sites:
        return None
    if rng.random() < 0.5 and not any(row[2] for row in sites):
        return None  # indices are everywhere, ranges are what this mistake is known from
    node, free, where = rng.choices(sites, [6 if row[2] else 2 if row[1] else 1 for row in sites])[0]
    wrong = _shifted(view, node, rng, free)
    if not wrong or wrong == view.source_of(node):
        return None
    scene = Scene(view, [Splice(view.start(node), view.end(node), wrong.encode())])
    precise: Options = []
    if where and occurrences(scene.text, "range") == 1:
        precise.append((f"precise_{where}", {"old": wrong, "new": view.source_of(node)}))
    return draft("fix_off_by_one", scene, node, {id(node): Change(node=expression(wrong))}, rng, precise)


def fix_arguments(view: View, rng: Random, pools: Pools) -> Draft | None:
    """Two neighbouring positional arguments of a call stood in the other order."""
    found = []
    for node in view.nodes:
        if not isinstance(node, ast.Call) or node.lineno != node.end_lineno or not dotted(node.func):
            continue
        if dotted(node.func).split(".")[-1] in _ORDER_FREE or any(isinstance(one, ast.Starred) for one in node.args):
            continue
        for first, second in zip(node.args, node.args[1:], strict=False):
            texts = view.source_of(first), view.source_of(second)
            if texts[0] != texts[1] and max(map(len, texts)) <= 30 and not isinstance(first, ast.GeneratorExp):
                found.append((node, first, second))
    if not found:
        return None
    node, first, second = rng.choice(found)
    splices = [
        Splice(view.start(first), view.end(first), view.source_of(second).encode()),
        Splice(view.start(second), view.end(second), view.source_of(first).encode()),
    ]
    scene = Scene(view, splices)
    precise: Options = []
    callee = dotted(node.func)
    if scene.called_once(callee):
        slots = {"call": callee, "old": view.source_of(second), "new": view.source_of(first)}
        precise.append(("precise_swap", slots))
        if len(node.args) == 2:
            precise.append(("precise_call", slots))
    i = node.args.index(first)
    swapped = [*node.args[:i], second, first, *node.args[i + 2 :]]
    return draft("fix_arguments", scene, node, {id(node): Change({"args": swapped})}, rng, precise, [("vague_call", {"call": callee})])


def fix_variable(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A variable was another one of the same function that is used in the same way (both are called, added, indexed, returned)."""
    if not view.functions and view.unit.owner != "function":
        return None

    def use(node: ast.AST) -> tuple[type, bool]:
        parent = view.parent(node)
        return type(parent), getattr(parent, "func", None) is node

    found = []
    for name, places in view.names.occurrences.items():
        for place in places:
            if place.role != "use" or not isinstance(place.node, ast.Name) or not isinstance(place.node.ctx, ast.Load):
                continue
            if place.scope is None or place.scope.kind not in ("function", "top") or name in ("self", "cls", "_"):
                continue
            if id(place.node) in view.in_string or not view.contains(place.node):
                continue
            seen = sum(view.first < other.line <= view.last for other in places)
            if seen > 1:  # the region shows the right name elsewhere
                found.append((name, place))
    rng.shuffle(found)
    for name, place in found[:6]:
        others = [
            other
            for other, places in view.names.occurrences.items()
            if other not in (name, "self", "cls", "_")
            and other not in view.names.blocked
            and any(one.scope is place.scope and one.role in ("use", "parameter") and one.line < place.line for one in places)
            and any(
                one.scope is place.scope and isinstance(one.node, ast.Name) and isinstance(one.node.ctx, ast.Load)
                and use(one.node) == use(place.node)
                for one in places
            )
        ]  # fmt: skip
        if not others:
            continue
        other = rng.choice(sorted(others))
        node = place.node
        scene = Scene(view, [Splice(view.start(node), view.end(node), other.encode())])
        if view.source_of(node) != name:
            return None
        hints: Options = [("vague_name", {"old": other})]
        return draft("fix_variable", scene, node, {id(node): Change({"id": other})}, rng, [], hints)
    return None


def _negated(view: View, test: ast.expr) -> tuple[list[Splice], Change] | None:
    """What turns a condition into its opposite, written as people write it: another operator, or `not` put before it or taken away.
    Doing it twice gives the condition back."""
    if isinstance(test, ast.Compare):
        right = test.comparators[0]
        if len(test.ops) != 1 or test.lineno != right.end_lineno:
            return None
        sign = _SIGN[type(test.ops[0])]
        gap = view.text[view.end(test.left) : view.start(right)].decode("utf-8", "replace")
        match = re.fullmatch(rf"([\s)]*){re.escape(sign)}[ (]*", gap)
        if not match:
            return None
        start = view.end(test.left) + len(match[1])
        new = _OPPOSITE[sign]
        return [Splice(start, start + len(sign), new.encode())], Change({"ops": [_TYPE[new]()]})
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        if not isinstance(test.operand, (ast.Name, ast.Attribute, ast.Call, ast.Subscript)):
            return None
        start, inner = view.start(test), view.start(test.operand)
        return ([Splice(start, inner, b"")], Change(node=test.operand)) if view.text[start:inner] == b"not " else None
    if isinstance(test, (ast.Name, ast.Attribute, ast.Call, ast.Subscript)):
        return [Splice(view.start(test), view.start(test), b"not ")], Change(node=ast.UnaryOp(ast.Not(), test))
    return None


def _conditions(view: View) -> list[ast.expr]:
    """The tests of the region's ifs, whiles and conditional expressions; those joined by `and` or `or` one by one."""
    every = list(view.facts.nodes)
    tests = [node.test for node in every if isinstance(node, (ast.If, ast.While, ast.IfExp, ast.Assert))]
    tests += [test for node in every if isinstance(node, ast.comprehension) for test in node.ifs]
    tests += [part for test in tests if isinstance(test, ast.BoolOp) for part in test.values]
    return [test for test in tests if view.contains(test) and id(test) not in view.in_string]


def _turned(view: View, rng: Random, kind: str, tests: list[ast.expr]) -> Draft | None:
    """The draft of a condition that was the other way round."""
    if not tests:
        return None
    test = rng.choice(tests)
    found = _negated(view, test)
    if found is None:
        return None
    scene = Scene(view, found[0])
    precise: Options = []
    shown = scene.damaged_source(test)
    if len(shown) <= 50 and "\n" not in shown and occurrences(scene.text, shown) == 1:
        precise.append(("precise_negate", {"old": shown}))
    outer = next(scene.around(test))
    alone = sum(isinstance(node, (ast.If, ast.While, ast.IfExp)) for node in view.facts.nodes) == 1
    if alone and isinstance(outer, (ast.If, ast.While)) and test is outer.test:
        precise.append(("precise_if", {"role": "while" if isinstance(outer, ast.While) else "if"}))
    return draft(kind, scene, test, {id(test): found[1]}, rng, precise)


def _is_not(test: ast.expr) -> bool:
    negative = isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], (ast.NotIn, ast.IsNot))
    return negative or isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)


def fix_condition(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A condition was the other way round: a `not` too many, or the opposite comparison."""
    return _turned(view, rng, "fix_condition", [test for test in _conditions(view) if not _is_not(test)])


def fix_not(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A condition lacked its `not`."""
    return _turned(view, rng, "fix_not", [test for test in _conditions(view) if _is_not(test)])


def fix_constant(view: View, rng: Random, pools: Pools) -> Draft | None:
    """A boolean, or a number from -1 to 2, was another one."""
    wrong = {"True": ("False",), "False": ("True",), "0": ("1",), "1": ("0", "2"), "2": ("1",), "-1": ("0", "1")}
    found = [one for one in kinds.literals(view) if one.text in wrong and one.where in ("assign", "keyword", "default", "entry", "return")]
    if not found:
        return None
    one = rng.choice(found)
    text = rng.choice(wrong[one.text])
    scene = Scene(view, [Splice(view.start(one.node), view.end(one.node), text.encode())])
    precise: Options = []
    if one.label and len(re.findall(rf"(?<![\w.]){re.escape(one.label)}\s*(:[^=\n]*)?[=:](?!=)", scene.text)) == 1:
        precise.append(("precise_label", {"label": one.label, "value": one.text, "default": text}))
    hints: Options = [("vague_label", {"label": one.label})] if one.label else []
    return draft("fix_constant", scene, one.node, {id(one.node): Change(node=expression(text))}, rng, precise, hints)


def fix_self(view: View, rng: Random, pools: Pools) -> Draft | None:
    """`self.` was missing before an attribute."""
    taken = set(dir(builtins)) | set(view.names.occurrences)
    found = [
        node
        for node in view.nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self" and node.attr not in taken
        and view.source_of(node) == "self." + node.attr
    ]  # fmt: skip
    if not found:
        return None
    node = rng.choice(found)
    scene = Scene(view, [Splice(view.start(node), view.end(node), node.attr.encode())])
    if not scene.function(node):
        return None
    bare = ast.Name(node.attr, node.ctx)
    # The name may stand in keywords, words and attributes of other objects: only the bare name counts.
    precise: Options = []
    if sum(isinstance(one, ast.Name) and one.id == node.attr for one in ast.walk(scene.tree)) == 1:
        precise.append(("precise_self", {"old": node.attr, "new": f"self.{node.attr}"}))
    hints: Options = [("vague_name_error", {"old": node.attr})] if isinstance(node.ctx, ast.Load) else []
    return draft("fix_self", scene, node, {id(node): Change(node=bare)}, rng, precise, hints)


def fix_await(view: View, rng: Random, pools: Pools) -> Draft | None:
    """`await` was missing."""
    found = [node for node in view.nodes if isinstance(node, ast.Await)]
    if not found:
        return None
    node = rng.choice(found)
    start, inner, end = view.start(node), view.start(node.value), view.end(node)
    if view.text[start:inner] != b"await " or (view.text[start - 1 : start] == b"(" and view.text[end : end + 2] in (b").", b")[", b")(")):
        return None
    scene = Scene(view, [Splice(start, inner, b"")])
    callee = dotted(node.value.func) if isinstance(node.value, ast.Call) else ""
    precise: Options = [("precise_call", {"call": callee})] if scene.called_once(callee) else []
    return draft("fix_await", scene, node, {id(node): Change(node=node.value)}, rng, precise)


def fix_get_default(view: View, rng: Random, pools: Pools) -> Draft | None:
    """The default of `dict.get` was missing, or the dictionary was indexed."""
    found = [
        node
        for node in view.nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get" and len(node.args) == 2
        and not node.keywords and node.lineno == node.end_lineno and not any(isinstance(one, ast.Starred) for one in node.args)
    ]  # fmt: skip
    if not found:
        return None
    node = rng.choice(found)
    key, value = (view.source_of(one) for one in node.args)
    callee = view.source_of(node.func)
    if isinstance(node.args[1], ast.Constant) and node.args[1].value is None:
        return None  # get(key) means the same
    wrong = f"{callee}({key})" if rng.random() < 0.6 else f"{callee.removesuffix('.get')}[{key}]"
    scene = Scene(view, [Splice(view.start(node), view.end(node), wrong.encode())])
    precise: Options = []
    if occurrences(scene.text, wrong) == 1 and len(wrong) <= 50 and len(value) <= 30:
        precise = [("precise_get" if wrong.endswith(")") else "precise_index", {"old": wrong, "value": value})]
    hints: Options = [("vague_key", {"text": key})] if len(key) <= 30 and "\n" not in key else []
    return draft("fix_get_default", scene, node, {id(node): Change(node=expression(wrong))}, rng, precise, hints)


def fix_fstring(view: View, rng: Random, pools: Pools) -> Draft | None:
    """The f before a string with fields was missing."""
    found = []
    for node in view.nodes:
        if isinstance(node, ast.JoinedStr) and node.lineno == node.end_lineno:
            text = view.source_of(node)
            if re.fullmatch(r"""f(['"])[^'"\\\n]*\1""", text) and "{" in text and "{{" not in text and "}}" not in text:
                found.append(node)
    if not found:
        return None
    node = rng.choice(found)
    start = view.start(node)
    scene = Scene(view, [Splice(start, start + 1, b"")])
    text = view.source_of(node)[1:]
    precise: Options = [("precise_string", {"old": text})] if len(text) <= 60 and scene.settles(text, "f" + text) else []
    plain = [one for one in ast.walk(scene.tree) if isinstance(one, ast.Constant) and isinstance(one.value, str) and "{" in one.value]
    if len(plain) == 1:
        precise.append(("precise_only", {}))
    return draft("fix_fstring", scene, node, {id(node): Change(node=expression(text))}, rng, precise)


def fix_call(view: View, rng: Random, pools: Pools) -> Draft | None:
    """The parentheses of a call without arguments were missing."""
    found = [
        node for node in view.nodes
        if isinstance(node, ast.Call) and dotted(node.func) not in ("", "super", "locals", "globals")
        and view.source_of(node) == dotted(node.func) + "()"
    ]  # fmt: skip
    if not found:
        return None
    node = rng.choice(found)
    end = view.end(node)
    scene = Scene(view, [Splice(end - 2, end, b"")])
    callee = dotted(node.func)
    precise: Options = [("precise_call", {"call": callee})] if scene.settles(callee, callee + "()") else []
    return draft("fix_call", scene, node, {id(node): Change(node=node.func)}, rng, precise)
