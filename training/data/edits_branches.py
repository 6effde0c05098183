"""Edits of conditions and branches: swap if and else, another operator as told, if/else as one expression and back, nested ifs joined."""

from __future__ import annotations

import ast
import re
from random import Random

from . import layout
from .names import Pools, dotted
from .splice import Change, Splice
from .view import Draft, View

_ELSE = re.compile(rb"^[ \t]*else:", re.M)
_IF = re.compile(rb"^[ \t]*if ", re.M)
_TERNARY = re.compile(rb"= [^\n]+ if [^\n]+ else |^[ \t]*else:\n[ \t]*(?:return|[\w.]+ =) ", re.M)
_JOINED = re.compile(rb"^[ \t]*if [^\n]+:\n[ \t]+if |^[ \t]*if [^\n]+ and ", re.M)
_COMPARED = re.compile(rb" (?:<|>|<=|>=|==|!=|and|or|\+|-|\*|/|//|%) ")
SIGNS = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=", ast.Is: "is", ast.IsNot: "is not", ast.In: "in",
    ast.NotIn: "not in", ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.And: "and",
    ast.Or: "or",
}  # fmt: skip
_OPPOSITE = {
    ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot,
    ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_GROUPS = (("<", "<=", ">", ">=", "==", "!="), ("+", "-", "*", "/", "//", "%"), ("and", "or"))
_TYPES = {sign: kind for kind, sign in SIGNS.items()}


def _operator_place(view: View, left: ast.expr, right: ast.expr, sign: str) -> Splice | None:
    """Where an operator stands between two operands; None where brackets or line ends stand beside it."""
    start, end = view.end(left), view.start(right)
    return Splice(start + 1, end - 1, b"") if view.text[start:end] == f" {sign} ".encode() else None


def _negated(view: View, test: ast.expr) -> tuple[list[Splice], Change] | None:
    """What turns a condition into its opposite."""
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and type(test.ops[0]) in _OPPOSITE:
        opposite = _OPPOSITE[type(test.ops[0])]
        place = _operator_place(view, test.left, test.comparators[0], SIGNS[type(test.ops[0])])
        return ([place._replace(text=SIGNS[opposite].encode())], Change(fields={"ops": [opposite()]})) if place else None
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inside = view.text[view.start(test) : view.start(test.operand)]
        simple = inside == b"not " and isinstance(test.operand, (ast.Name, ast.Attribute, ast.Call, ast.Subscript))
        return ([Splice(view.start(test), view.start(test.operand), b"")], Change(node=test.operand)) if simple else None
    if isinstance(test, (ast.Name, ast.Attribute, ast.Call, ast.Subscript)):
        return [Splice(view.start(test), view.start(test), b"not ")], Change(node=ast.UnaryOp(ast.Not(), test))
    return None


def swap_branches(view: View, rng: Random, pools: Pools) -> Draft | None:
    """The condition of an if with else is negated, and the two branches change places."""
    rows = []
    for node in view.find(ast.If):
        otherwise = node.orelse
        if not otherwise or not layout.is_alone(view, otherwise[-1]) or not layout.is_alone(view, node.body[-1]):
            continue
        row = layout.first_line(otherwise[0]) - 1  # the else line, when nothing stands between
        head = view.unit.lines[row - 1]
        above = layout.first_line(node.body[0]) == node.test.end_lineno + 1
        is_elif = view.text[view.start(node) : view.start(node) + 4] == b"elif"
        if head.strip() == b"else:" and above and not is_elif and layout.indent_of(view, row) == layout.indent_of(view, node.lineno):
            text = view.source_of(node.test)
            if layout.is_quotable(text) and node.test.lineno == node.test.end_lineno:
                rows.append((node, row, text))
    if not rows:
        return None
    node, row, text = rng.choice(rows)
    negated = _negated(view, node.test)
    if negated is None:
        return None
    first, last = view.starts[node.body[0].lineno - 1], view.starts[row - 1]
    first = layout.lines_start(view, node.body[0])
    second, end = view.starts[row], view.starts[node.end_lineno]
    splices = [*negated[0], Splice(first, last, view.text[second:end]), Splice(second, end, view.text[first:last])]
    count = len(rows)
    variant = "only" if count == 1 and len(view.find(ast.If)) == 1 and rng.random() < 0.6 else "text"
    if variant == "text" and sum(other[2] == text for other in rows) > 1:
        return None
    changes = {id(node.test): negated[1], id(node): Change(fields={"body": node.orelse, "orelse": node.body})}
    return Draft("swap_branches", variant, {"what": text}, splices, changes)


def absent_else(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """Branches to swap where there is no if."""
    return None if re.search(rb"\bif\b", view.region) else ("only", {})


def change_operator(view: View, rng: Random, pools: Pools) -> Draft | None:
    """Another operator in one comparison, operation or condition, as told; or its two sides change places (`a < b`, `b > a`)."""
    rows = []
    for node in view.find(ast.Compare, ast.BinOp, ast.BoolOp):
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            left, right, operator, field = node.left, node.comparators[0], node.ops[0], "ops"
        elif isinstance(node, ast.BinOp):
            left, right, operator, field = node.left, node.right, node.op, "op"
            if any(isinstance(one, (ast.Constant, ast.JoinedStr)) and isinstance(getattr(one, "value", ""), str) for one in (left, right)):
                continue
        elif isinstance(node, ast.BoolOp) and len(node.values) == 2:
            left, right, operator, field = *node.values, node.op, "op"
        else:
            continue
        sign = SIGNS.get(type(operator), "")
        place = _operator_place(view, left, right, sign) if sign else None
        if place and not isinstance(view.parent(node), (ast.BinOp, ast.BoolOp, ast.UnaryOp)):
            rows.append((node, left, right, sign, field, place))
    rows = [row for row in rows if any(row[3] in group for group in _GROUPS)]
    if not rows:
        return None
    node, left, right, sign, field, place = rng.choice(rows)
    text = view.source_of(node)
    group = next(group for group in _GROUPS if sign in group)
    if not layout.is_unique(view, text) or any(isinstance(one, (ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp)) for one in (left, right)):
        return None
    mirror = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}.get(sign)
    one, two = view.source_of(left), view.source_of(right)
    if mirror and rng.random() < 0.2:
        new = f"{two} {mirror} {one}"
        change = Change(node=ast.Compare(right, [_TYPES[mirror]()], [left]))
        slots = {"what": text, "new": new}
        return Draft("change_operator", "mirror", slots, [Splice(*layout.span(view, node), new.encode())], {id(node): change})
    other = rng.choice([one for one in group if one != sign])
    operator = _TYPES[other]()
    change = Change(fields={field: [operator] if field == "ops" else operator})
    slots = {"what": text, "old": sign, "new": other, "full": f"{one} {other} {two}"}
    variant = "text"
    if sum(row[3] == sign for row in rows) == 1 and view.region.count(f" {sign} ".encode()) == 1 and rng.random() < 0.6:
        variant = "sign"
    return Draft("change_operator", variant, slots, [place._replace(text=other.encode())], {id(node): change})


def _branch(body: list[ast.stmt]) -> tuple[str, ast.expr] | None:
    """(target or "", value) of a branch that is one assignment or one return."""
    if len(body) != 1:
        return None
    only = body[0]
    if isinstance(only, ast.Return) and only.value is not None:
        return "", only.value
    if isinstance(only, ast.Assign) and len(only.targets) == 1 and dotted(only.targets[0]):
        return dotted(only.targets[0]), only.value
    return None


_UNSAFE = (ast.IfExp, ast.Lambda, ast.Tuple, ast.Yield, ast.YieldFrom, ast.NamedExpr, ast.Await, ast.Starred)


def ternary(view: View, rng: Random, pools: Pools) -> Draft | None:
    """An if/else of one assignment or return each becomes a conditional expression; real ones are shown as if/else too, and the other
    way round where asked."""
    rows = []
    for node in view.find(ast.If):
        one, two = _branch(node.body), _branch(node.orelse)
        lines = node.end_lineno - node.lineno
        if one and two and one[0] == two[0] and lines == 3 and view.text[view.start(node) : view.start(node) + 2] == b"if":
            if (
                type(node.body[0]) is type(node.orelse[0])
                and layout.is_alone(view, node)
                and b"#" not in view.text[view.start(node) : view.end(node)]
            ):
                rows.append(("short", node, one[0], node.test, one[1], two[1]))
    for node in view.find(ast.Assign, ast.Return):
        if (
            isinstance(node.value, ast.IfExp)
            and node.lineno == node.end_lineno
            and layout.is_alone(view, node)
            and not layout.has_comment(view, node)
        ):
            target = dotted(node.targets[0]) if isinstance(node, ast.Assign) and len(node.targets) == 1 else ""
            value = node.value
            lead = f"{target} = " if target else "return "
            if view.source_of(node).startswith(lead + view.source_of(value.body)) and (target or isinstance(node, ast.Return)):
                rows.append(("long", node, target, value.test, value.body, value.orelse))
    if not rows:
        return None
    form, node, target, test, one, two = rng.choice(rows)
    if any(isinstance(part, _UNSAFE) for part in (test, one, two)) or any(part.lineno != part.end_lineno for part in (test, one, two)):
        return None
    texts = [view.source_of(part) for part in (one, test, two)]
    lead = f"{target} = " if target else "return "
    indent, step = layout.indent_of(view, node.lineno), layout.step_of(view)
    short = f"{lead}{texts[0]} if {texts[1]} else {texts[2]}"
    long = b"if %s:\n%s%s%s\n%selse:\n%s%s%s" % (
        texts[1].encode(), indent + step, lead.encode(), texts[0].encode(), indent, indent + step, lead.encode(), texts[2].encode(),
    )  # fmt: skip
    if len(indent) + len(short) > layout.MAX_LINE or view.text[view.start(node) : view.end(node)] != (
        long if form == "short" else short.encode()
    ):
        return None
    holder, field, body = layout.body_of(view, node)
    plain: list[ast.stmt]
    if form == "short":
        value = ast.IfExp(test, one, two)
        plain = [ast.Assign(node.body[0].targets, value, None) if target else ast.Return(value)]
        text, inverse, variant = short.encode(), False, "short"
    else:
        plain = [
            ast.If(
                test,
                [ast.Assign(node.targets, one, None) if target else ast.Return(one)],
                [ast.Assign(node.targets, two, None) if target else ast.Return(two)],
            )
        ]
        text, inverse = long, rng.random() < 0.6
        variant = "short" if inverse else "long"
    if sum(row[0] == form for row in rows) > 1 or (inverse and any(row[0] == "short" for row in rows)):
        variant += "_named"
        if not target or sum(row[2] == target for row in rows) > 1:
            return None
    return Draft(
        "ternary", variant, {"label": target}, [Splice(*layout.span(view, node), text)], {id(node): Change(node=plain[0])}, inverse
    )


def absent_ternary(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """A conditional expression to spell out where there is no if."""
    return None if re.search(rb"\bif\b", view.region) else ("long", {})


def join_ifs(view: View, rng: Random, pools: Pools) -> Draft | None:
    """An if with nothing but an if inside becomes one if with `and`; real ones with `and` are split where asked."""
    rows = []
    for node in view.find(ast.If):
        if node.orelse or not layout.is_alone(view, node) or view.text[view.start(node) : view.start(node) + 3] != b"if ":
            continue
        inner = node.body[0]
        if len(node.body) == 1 and isinstance(inner, ast.If) and not inner.orelse and inner.lineno == node.lineno + 1:
            rows.append(("join", node, inner, node.test, inner.test))
        elif isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And) and len(node.test.values) == 2:
            rows.append(("split", node, node, *node.test.values))
    rows = [row for row in rows if not any(isinstance(one, (ast.BoolOp, ast.IfExp, ast.Lambda, ast.NamedExpr)) for one in row[3:])]
    if not rows:
        return None
    form, node, inner, one, two = rng.choice(rows)
    row = inner.test.end_lineno + 1
    if (
        sum(other[0] == form for other in rows) > 1
        or layout.first_line(inner.body[0]) < row
        or one.lineno != one.end_lineno
        or two.lineno != two.end_lineno
    ):
        return None
    indent, step = layout.indent_of(view, node.lineno), layout.step_of(view)
    first, second = view.source_of(one), view.source_of(two)
    if form == "join":
        body = layout.dedented(view, row, node.end_lineno, indent + step)
        if body is None or view.text[view.end(inner.test) : view.starts[row - 1]] != b":\n":
            return None
        text = indent + f"if {first} and {second}:\n".encode() + body
        new = ast.If(ast.BoolOp(ast.And(), [one, two]), inner.body, [])
    else:
        body = layout.indented(view, row, node.end_lineno, step)
        if body is None:
            return None
        text = indent + f"if {first}:\n".encode() + indent + step + f"if {second}:\n".encode() + body
        new = ast.If(one, [ast.If(two, node.body, [])], [])
    lines = view.text[view.starts[node.lineno - 1] : view.starts[row - 1]]
    if form == "split" and lines.strip() != f"if {first} and {second}:".encode():
        return None
    if form == "join" and lines.split() != f"if {first}:\nif {second}:\n".encode().split():
        return None
    splice = Splice(view.starts[node.lineno - 1], view.starts[node.end_lineno], text)
    slots = {"first": first, "second": second}
    inverse = form == "split" and rng.random() < 0.6
    if inverse and any(other[0] == "join" for other in rows):
        return None
    variant = "split" if form == "split" and not inverse else "join"
    if not all(map(layout.is_quotable, (first, second))):
        return None
    return Draft("join_ifs", variant, slots, [splice], {id(node): Change(node=new)}, inverse)


KINDS = {
    "swap_branches": (swap_branches, 6, _ELSE),
    "change_operator": (change_operator, 7, _COMPARED),
    "ternary": (ternary, 5, _TERNARY),
    "join_ifs": (join_ifs, 5, _JOINED),
}

ABSENT = {"swap_branches": absent_else, "ternary": absent_ternary}

TEMPLATES = {
    "swap_branches": {
        "only": (
            "negate the condition and swap the branches",
            "swap the if and else branches",
            "invert the if",
            "[flip|reverse|turn around] the if/else",
            "swap if and else, negate the test",
            "invert the condition (else first)",
            "put the else branch first",
            "exchange the two branches of the if",
            "negate the if and exchange its branches",
            "other way round: else branch first",
        ),
        "text": (
            "negate {what} and swap the branches",
            "swap the branches of if {what}",
            "invert the if with {what}",
            "[flip|reverse] the if/else on {what}",
            "invert the condition {what} (else first)",
            "put the else branch of if {what} first",
            "exchange the two branches of if {what}",
            "if {what}: negate the test, swap if and else",
            "turn the if around that tests {what}",
        ),
    },
    "change_operator": {
        "text": (
            "change {what} to {full}",
            "{what} -> {full}",
            "use {new} in {what}",
            "{what} should [use|be] {new}",
            "replace {old} by {new} in {what}",
            "{full} instead of {what}",
            "in {what}, {new} instead of {old}",
            "change the operator in {what} to {new}",
            "write {full} rather than {what}",
            "make {what} {full}",
        ),
        "sign": (
            "use {new} instead of {old}",
            "change {old} to {new}",
            "replace the {old} [with|by] {new}",
            "{old} -> {new}",
            "{new} not {old}",
            "the operator should be {new}, not {old}",
            "{new} instead of {old}",
            "the {old} should be {new}",
            "turn {old} into {new}",
            "swap {old} for {new}",
        ),
        "mirror": (
            "swap the sides of {what}",
            "write {what} as {new}",
            "{what} -> {new}",
            "turn {what} around",
            "exchange the sides of {what}",
            "mirror {what}",
            "{new} instead of {what}",
            "flip {what} so that it reads {new}",
            "put the right side of {what} on the left",
        ),
    },
    "ternary": {
        "short": (
            "use a conditional expression",
            "[use|make it] a ternary",
            "turn the if/else into [one line|a ternary|a conditional expression]",
            "collapse the if/else into one line",
            "write the if/else as x if c else y",
            "one-line if",
            "shorten the if/else",
            "ternary instead of if/else",
            "replace the if/else [with|by] a conditional expression",
            "inline the if/else",
        ),
        "short_named": (
            "use a conditional expression for {label}",
            "set {label} with a ternary",
            "collapse the if/else that sets {label}",
            "one-line if for {label}",
            "{label}: ternary instead of if/else",
            "write the assignment of {label} as x if c else y",
            "turn the if/else around {label} into one line",
            "shorten the if/else for {label}",
            "assign {label} with a conditional expression",
        ),
        "long": (
            "use if/else instead of the conditional expression",
            "expand the ternary",
            "turn the ternary into an if[ statement|/else]",
            "no ternary, use if/else",
            "write the conditional expression as if statement",
            "spell out the one-line if",
            "replace the ternary [with|by] if/else",
            "split the conditional expression into if and else",
            "make the inline if a real if",
            "unfold the ternary",
        ),
        "long_named": (
            "use if/else to set {label}",
            "expand the ternary of {label}",
            "turn the ternary for {label} into an if statement",
            "no ternary for {label}, use if/else",
            "set {label} in an if/else",
            "{label}: if/else instead of the conditional expression",
            "spell out the one-line if of {label}",
            "unfold the ternary that sets {label}",
            "split the assignment of {label} into if and else",
        ),
    },
    "join_ifs": {
        "join": (
            "join the nested ifs",
            "merge the nested if[s| statements]",
            "combine the two ifs with and",
            "use one if with and",
            "[flatten|collapse] the nested if",
            "one if instead of two",
            "put {first} and {second} in one condition",
            "no nested if, use and",
            "if {first} and {second} in a single if",
            "SIM102: nested ifs",
            "merge if {first} with if {second}",
        ),
        "split": (
            "split the condition into two nested ifs",
            "use nested ifs instead of and",
            "split if {first} and {second} [up |]into two ifs",
            "two nested ifs, first {first}, then {second}",
            "nest the conditions",
            "check {first} first, then {second} inside",
            "no and in the if, nest it",
            "turn the and into a nested if",
            "separate {first} and {second} into nested ifs",
            "unfold the and of the condition",
        ),
    },
}
