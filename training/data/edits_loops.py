"""Edits that make code faster or plainer: enumerate, comprehensions, sets for membership, generators, dictionary loops, caching.

"optimise f" is one of the wordings where only one of these can be meant."""

from __future__ import annotations

import ast
import re
from random import Random

from . import layout
from .names import Pools, dotted
from .splice import Change, Splice
from .view import FUNCTION, Draft, View

_ENUMERATE = re.compile(rb"^[ \t]*for \w+(?:, \w+)? in (?:enumerate\([\w.]+\)|range\(len\()", re.M)
_COMPREHENSION = re.compile(rb"^[ \t]*[\w.]+ = \[(?:\]\n[ \t]*for |[^\n]* for [^\n]* in )", re.M)
_MEMBER = re.compile(rb" in (?:\[|\(|\{)['\"\d]")
_GENERATOR = re.compile(rb"\b(?:any|all|sum|max|min|set|tuple|sorted|join)\(\[?[^\n]* for ")
_KEYS = re.compile(rb"^[ \t]*for \w+ in [\w.]+(?:\.keys\(\))?:| in [\w.]+\.keys\(\)", re.M)
_HEAD = re.compile(rb"^def \w+\(\w", re.M)
_CONSUMERS = frozenset(("any", "all", "sum", "max", "min", "set", "tuple", "sorted", "list", "frozenset", "dict"))


def _names_in(nodes: list[ast.AST], name: str) -> list[ast.Name]:
    return [one for node in nodes for one in ast.walk(node) if isinstance(one, ast.Name) and one.id == name]


def _words(view: View, nodes: list[ast.stmt], name: str) -> int:
    """How often a word stands in the lines of some statements, strings and comments too."""
    text = view.text[layout.lines_start(view, nodes[0]) : layout.lines_end(view, nodes[-1])]
    return len(re.findall(rb"(?<![\w.])" + name.encode() + rb"\b", text))


def use_enumerate(view: View, rng: Random, pools: Pools) -> Draft | None:
    """`for i in range(len(xs))` with `xs[i]` becomes `for i, x in enumerate(xs)`; the name of the item is given. Real loops over
    enumerate are shown with an index."""
    rows = []
    for node in view.find(ast.For):
        call, target = node.iter, node.target
        if not isinstance(call, ast.Call) or len(call.args) != 1 or call.keywords or node.orelse:
            continue
        if dotted(call.func) == "enumerate" and isinstance(target, ast.Tuple) and len(target.elts) == 2:
            if all(isinstance(one, ast.Name) for one in target.elts) and dotted(call.args[0]):
                rows.append((True, node, target.elts[0].id, target.elts[1].id, call.args[0]))
        elif dotted(call.func) == "range" and isinstance(target, ast.Name) and isinstance(call.args[0], ast.Call):
            inner = call.args[0]
            if dotted(inner.func) == "len" and len(inner.args) == 1 and dotted(inner.args[0]):
                rows.append((False, node, target.id, "", inner.args[0]))
    rows = [row for row in rows if sum(dotted(other[4]) == dotted(row[4]) for other in rows) == 1]
    if not rows:
        return None
    inverse, node, index, item, source = rng.choice(rows)
    name = dotted(source)
    head = view.text[view.start(node) : view.start(node.body[0])]
    whole = [one for statement in node.body for one in ast.walk(statement)]
    if any(id(one) in view.in_string for one in whole) or any(isinstance(one, (ast.Lambda, *FUNCTION)) for one in whole):
        return None
    if inverse:
        used = _names_in(node.body, item)
        later = [n for n in view.facts.by_type.get(ast.Name, ()) if n.id == item and id(n) not in {id(one) for one in used}]
        if (
            not used
            or len(later) != 1
            or any(not isinstance(one.ctx, ast.Load) for one in used)
            or _words(view, node.body, item) != len(used)
        ):
            return None
        if (
            any(isinstance(one.ctx, ast.Store) for one in _names_in(node.body, name.split(".")[0]))
            or _words(view, node.body, name)
            or item == name
        ):
            return None
        if not re.match(rb"for %s, %s in enumerate\(%s\):" % (index.encode(), item.encode(), re.escape(name.encode())), head):
            return None
        indexed = layout.expression(f"{name}[{index}]")
        splices = [Splice(*layout.span(view, one), f"{name}[{index}]".encode()) for one in used]
        changes = {id(one): Change(node=indexed) for one in used}
        splices.append(Splice(view.start(node.target), view.end(node.iter), f"{index} in range(len({name}))".encode()))
        changes[id(node.target)] = Change(node=ast.Name(index, ast.Store()))
        changes[id(node.iter)] = Change(node=layout.expression(f"range(len({name}))"))
        return Draft("use_enumerate", "named", {"new": item, "what": name}, splices, changes, True)
    item = rng.choice(("item", "element", "value", "entry", "row", name.split(".")[-1].rstrip("s") or "item"))
    if item in view.taken or not head.startswith(f"for {index} in range(len({name})):".encode()):
        return None
    places = [
        one
        for one in whole
        if isinstance(one, ast.Subscript) and dotted(one.value) == name and isinstance(one.slice, ast.Name) and one.slice.id == index
    ]
    if not places or any(not isinstance(one.ctx, ast.Load) for one in places) or _words(view, node.body, name) != len(places):
        return None
    splices = [Splice(*layout.span(view, one), item.encode()) for one in places]
    splices.append(Splice(view.start(node.target), view.end(node.iter), f"{index}, {item} in enumerate({name})".encode()))
    changes = {id(one): Change(node=ast.Name(item, ast.Load())) for one in places}
    changes[id(node.target)] = Change(node=ast.Tuple([ast.Name(index, ast.Store()), ast.Name(item, ast.Store())], ast.Store()))
    changes[id(node.iter)] = Change(node=layout.expression(f"enumerate({name})"))
    return Draft("use_enumerate", "named", {"new": item, "what": name}, splices, changes)


def list_comprehension(view: View, rng: Random, pools: Pools) -> Draft | None:
    """An empty list and a loop that appends to it become a comprehension; real comprehensions are shown as loops, and spelled out as
    loops where asked."""
    rows = []
    for node in view.find(ast.Assign):
        target = dotted(node.targets[0]) if len(node.targets) == 1 else ""
        if not target or not layout.is_alone(view, node) or layout.has_comment(view, node) or node.lineno != node.end_lineno:
            continue
        holder, field, body = layout.body_of(view, node)
        at = body.index(node)
        value, after = node.value, body[at + 1] if at + 1 < len(body) else None
        if isinstance(value, ast.List) and not value.elts and isinstance(after, ast.For) and after.lineno == node.lineno + 1:
            rows.append((False, node, target, holder, field, body, at))
        elif isinstance(value, ast.ListComp) and len(value.generators) == 1 and len(value.generators[0].ifs) < 2 and target.isidentifier():
            rows.append((True, node, target, holder, field, body, at))
    if not rows:
        return None
    spelled, node, target, holder, field, body, at = rng.choice(rows)
    indent, step = layout.indent_of(view, node.lineno), layout.step_of(view)
    if spelled:
        one, value = node.value.generators[0], node.value
        text = [view.source_of(part) for part in (value.elt, one.target, one.iter, *one.ifs)]
        expected = f"{target} = [{text[0]} for {text[1]} in {text[2]}" + (f" if {text[3]}" if one.ifs else "") + "]"
        if view.source_of(node) != expected or one.is_async or any(isinstance(part, ast.NamedExpr) for part in ast.walk(value)):
            return None
        bound = {name.id for name in ast.walk(one.target) if isinstance(name, ast.Name)}
        if target in bound or re.search(rf"\b{re.escape(target)}\b", expected[len(target) :]):
            return None
        levels = [f"{target} = []", f"for {text[1]} in {text[2]}:", *([f"    if {text[3]}:"] if one.ifs else [])]
        levels.append("    " * (2 if one.ifs else 1) + f"{target}.append({text[0]})")
        lines = b"".join(indent + step * ((len(row) - len(row.lstrip())) // 4) + row.lstrip().encode() + b"\n" for row in levels)
        trees = layout.statements("\n".join(levels))
        splice = Splice(view.starts[node.lineno - 1], view.starts[node.end_lineno], lines)
        inverse = rng.random() < 0.7
        if inverse and any(not row[0] for row in rows):
            return None
        change = {id(holder): Change(fields={field: [*body[:at], *trees, *body[at + 1 :]]})}
        name = "comprehension" if inverse else "loop"
        same = sum(row[0] for row in rows)
        if len(rows) > 1 and same > 1 and not inverse or rng.random() < 0.5:
            name += "_named"
        return Draft("list_comprehension", name, {"label": target}, [splice], change, inverse)
    loop = body[at + 1]
    inner = loop.body[0]
    test = inner.test if isinstance(inner, ast.If) and not inner.orelse and len(inner.body) == 1 else None
    last = inner.body[0] if test is not None else inner
    call = last.value if isinstance(last, ast.Expr) and isinstance(last.value, ast.Call) else None
    if call is None or len(loop.body) > 1 or loop.orelse or dotted(call.func) != f"{target}.append" or len(call.args) != 1 or call.keywords:
        return None
    parts = [call.args[0], loop.target, loop.iter, *([test] if test is not None else [])]
    if any(part.lineno != part.end_lineno for part in parts) or isinstance(call.args[0], (ast.Starred, ast.NamedExpr, ast.Yield)):
        return None
    if isinstance(loop.iter, (ast.IfExp, ast.Lambda, ast.Tuple)) or isinstance(test, (ast.IfExp, ast.Lambda, ast.NamedExpr)):
        return None
    used = [one for part in parts for one in ast.walk(part)]
    if any(isinstance(one, (ast.Await, ast.Yield, ast.YieldFrom)) or dotted(one) == target for one in used):
        return None
    text = [view.source_of(part) for part in parts]
    new = f"{target} = [{text[0]} for {text[1]} in {text[2]}" + (f" if {text[3]}" if test is not None else "") + "]"
    start, end = view.starts[node.lineno - 1], view.starts[loop.end_lineno]
    if len(indent) + len(new) > layout.MAX_LINE or b"#" in view.text[start:end]:
        return None
    tree = ast.Assign(
        node.targets, ast.ListComp(call.args[0], [ast.comprehension(loop.target, loop.iter, [test] if test else [], 0)]), None
    )
    change = {id(holder): Change(fields={field: [*body[:at], tree, *body[at + 2 :]]})}
    alone = sum(not row[0] for row in rows) == 1
    variant = "comprehension" if alone and rng.random() < 0.6 else "comprehension_named"
    return Draft("list_comprehension", variant, {"label": target}, [Splice(start, end, indent + new.encode() + b"\n")], change)


def set_membership(view: View, rng: Random, pools: Pools) -> Draft | None:
    """`x in [1, 2]` or `x in (1, 2)` becomes `x in {1, 2}`."""
    rows = []
    for node in view.find(ast.Compare):
        right = node.comparators[0]
        if (
            len(node.ops) == 1
            and isinstance(node.ops[0], (ast.In, ast.NotIn))
            and isinstance(right, (ast.List, ast.Tuple, ast.Set))
            and right.elts
        ):
            text = view.source_of(right)
            if all(isinstance(one, ast.Constant) for one in right.elts) and text[0] in "[({" and right.lineno == right.end_lineno:
                rows.append((node, right, text))
    wrong = [row for row in rows if not isinstance(row[1], ast.Set)]
    if not rows:
        return None
    node, right, text = rng.choice(rows)
    inverse = isinstance(right, ast.Set)
    if inverse and wrong:
        return None
    if inverse:
        bracket = rng.choice(("[]", "()")) if len(right.elts) > 1 else "[]"
        new_node: ast.expr = ast.List(right.elts, ast.Load()) if bracket == "[]" else ast.Tuple(right.elts, ast.Load())
        splices = [
            Splice(view.start(right), view.start(right) + 1, bracket[:1].encode()),
            Splice(view.end(right) - 1, view.end(right), bracket[1:].encode()),
        ]
        shown = bracket[0] + text[1:-1] + bracket[1]
    else:
        new_node = ast.Set(right.elts)
        cut = 2 if text.endswith(",)") else 1
        splices = [Splice(view.start(right), view.start(right) + 1, b"{"), Splice(view.end(right) - cut, view.end(right), b"}")]
        shown = text
    variant = "only" if len(wrong) + inverse == 1 and rng.random() < 0.6 else "text"
    if variant == "text" and (not layout.is_quotable(shown) or [row[2] for row in rows].count(text) > 1):
        return None
    return Draft("set_membership", variant, {"what": shown}, splices, {id(right): Change(node=new_node)}, inverse)


def absent_membership(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """A membership test to write with a set where there is none."""
    return None if re.search(rb"\bin\b", view.region) else ("only", {})


def use_generator(view: View, rng: Random, pools: Pools) -> Draft | None:
    """`any([…for…])` becomes `any(…for…)`. Real generators are shown as lists, and turned into lists where asked."""
    rows = []
    for node in view.find(ast.Call):
        name = dotted(node.func).split(".")[-1] or (node.func.attr if isinstance(node.func, ast.Attribute) else "")
        if (
            len(node.args) == 1
            and not node.keywords
            and (name in _CONSUMERS or name == "join")
            and isinstance(node.args[0], (ast.GeneratorExp, ast.ListComp))
        ):
            rows.append((node, name, isinstance(node.args[0], ast.GeneratorExp)))
    if not rows:
        return None
    node, name, good = rng.choice(rows)
    inner = node.args[0]
    start, end = view.end(node.func), view.end(node)
    inside = view.text[start:end]
    count = sum(row[1] == name and row[2] == good for row in rows)
    if count > 1 or good and any(not row[2] for row in rows):
        return None
    if good:
        if view.start(inner) != start or view.end(inner) != end:  # own brackets: f((x for x in y))
            return None
        splices = [Splice(start + 1, start + 1, b"["), Splice(end - 1, end - 1, b"]")]
        new = ast.ListComp(inner.elt, inner.generators)
        inverse = rng.random() < 0.75
        return Draft("use_generator", "generator" if inverse else "list", {"call": name}, splices, {id(inner): Change(node=new)}, inverse)
    if not (inside.startswith(b"([") and inside.endswith(b"])")):
        return None
    splices = [Splice(start + 1, start + 2, b""), Splice(end - 2, end - 1, b"")]
    return Draft(
        "use_generator", "generator", {"call": name}, splices, {id(inner): Change(node=ast.GeneratorExp(inner.elt, inner.generators))}
    )


def absent_generator(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """A list to write as generator where no such call is."""
    name = rng.choice(("any", "all", "sum", "join", "max"))
    return None if name in view.taken else ("generator", {"call": name})


def drop_keys(view: View, rng: Random, pools: Pools) -> Draft | None:
    """`in d.keys()` becomes `in d`. Real loops over a dictionary-like name are shown with `.keys()`."""
    rows: list[tuple[ast.expr, bool]] = []
    for node in view.find(ast.For, ast.Compare):
        right = node.iter if isinstance(node, ast.For) else node.comparators[0]
        if isinstance(node, ast.Compare) and not (len(node.ops) == 1 and isinstance(node.ops[0], (ast.In, ast.NotIn))):
            continue
        if isinstance(right, ast.Call) and isinstance(right.func, ast.Attribute) and right.func.attr == "keys" and not right.args:
            rows.append((right, False))
        elif dotted(right) and re.search(
            r"(?:dict|map|mapping|kwargs|params|options|config|by_\w+|cache|headers|registry)$", dotted(right)
        ):
            rows.append((right, True))
    if not rows or len({good for _, good in rows}) > 1:
        return None
    node, good = rng.choice(rows)
    name = dotted(node if good else node.func.value)
    if (
        not name
        or sum(dotted(one if good else one.func.value) == name for one, _ in rows) > 1
        or view.text.count(f"{name}.keys(".encode()) > 1
    ):
        return None
    if good:
        splice, new = Splice(view.end(node), view.end(node), b".keys()"), layout.expression(f"{name}.keys()")
    else:
        splice, new = Splice(view.end(node.func.value), view.end(node), b""), node.func.value
    return Draft("drop_keys", "keys", {"what": name}, [splice], {id(node): Change(node=new)}, good)


def absent_keys(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """A `.keys()` that is not there."""
    names = sorted({dotted(node.iter) for node in view.find(ast.For)} - {""})
    return None if b".keys" in view.region or not names else ("keys", {"what": rng.choice(names)})


def cache_function(view: View, rng: Random, pools: Pools) -> Draft | None:
    """`functools.lru_cache` on a function of a module whose arguments look hashable and whose body sets nothing outside of it."""
    found = []
    for function in layout.named_once(view, (ast.FunctionDef,)):
        a = function.args
        plain = a.args and not (a.vararg or a.kwarg or function.decorator_list) and a.args[0].arg not in ("self", "cls")
        inner = list(ast.walk(function))
        impure = any(isinstance(one, (ast.Yield, ast.YieldFrom, ast.Global, ast.Nonlocal, ast.Await)) for one in inner)
        impure |= any(isinstance(one, (ast.Attribute, ast.Subscript)) and not isinstance(one.ctx, ast.Load) for one in inner)
        impure |= any(isinstance(one, ast.Expr) and isinstance(one.value, ast.Call) for one in inner)
        returns = any(isinstance(one, ast.Return) and one.value is not None for one in inner)
        if plain and not impure and returns and view.unit.owner == "module" and function in view.unit.tree.body:
            found.append(function)
    if not found:
        return None
    function = rng.choice(found)
    size = rng.choice(("None", "None", "128", "1024"))
    bare = b"import lru_cache" in view.text or rng.random() < 0.3
    text = f"{'' if bare else 'functools.'}lru_cache(maxsize={size})"
    place = view.starts[function.lineno - 1]
    change = {id(function): Change(fields={"decorator_list": [layout.expression(text)]})}
    line = layout.indent_of(view, function.lineno) + b"@" + text.encode() + b"\n"
    return Draft("cache_function", "cache", {"func": function.name, "code": text}, [Splice(place, place, line)], change)


KINDS = {
    "use_enumerate": (use_enumerate, 8, _ENUMERATE),
    "list_comprehension": (list_comprehension, 6, _COMPREHENSION),
    "set_membership": (set_membership, 4, _MEMBER),
    "use_generator": (use_generator, 8, _GENERATOR),
    "drop_keys": (drop_keys, 6, _KEYS),
    "cache_function": (cache_function, 4, _HEAD),
}

ABSENT = {"set_membership": absent_membership, "use_generator": absent_generator, "drop_keys": absent_keys}

TEMPLATES = {
    "use_enumerate": {
        "named": (
            "use enumerate, call the [item|element] {new}",
            "loop over {what} with enumerate, item {new}",
            "replace range(len()) [with|by] enumerate ({new})",
            "enumerate {what} with {new} instead of indexing",
            "no index access, enumerate {what} as {new}",
            "use enumerate({what}) and {new}",
            "for-index loop -> enumerate with {new}",
            "loop with enumerate, use {new} for the [item|element]",
            "pythonic loop over {what}: enumerate, {new}",
            "rewrite the index loop with enumerate and {new}",
            "range(len({what})) is ugly, enumerate and name the element {new}",
        ),
    },
    "list_comprehension": {
        "comprehension": (
            "use a list comprehension",
            "[turn|convert] the loop into a list comprehension",
            "list comprehension[ please| pls| instead of the loop|]",
            "optimise the loop",
            "make it a comprehension",
            "replace the loop and append [with|by] a list comprehension",
            "comprehension instead of append",
            "simplify the loop",
            "no append, use a comprehension",
            "write the loop as a comprehension",
            "optimize this with a list comprehension",
        ),
        "comprehension_named": (
            "build {label} with a list comprehension",
            "list comprehension for {label}",
            "use a comprehension for {label}",
            "[turn|convert] the loop that fills {label} into a comprehension",
            "no {label}.append, use a list comprehension",
            "{label} as [a |]list comprehension",
            "optimise how {label} is built",
            "make {label} a comprehension",
            "replace the loop for {label} [with|by] a comprehension",
            "fill {label} in one expression",
        ),
        "loop": (
            "use a [for |]loop instead of the [list |]comprehension",
            "expand the list comprehension into a loop",
            "[turn|convert] the comprehension into a for loop",
            "no comprehension, use a loop with append",
            "write the comprehension as a loop",
            "unroll the list comprehension",
            "loop and append instead of the comprehension",
            "spell the comprehension out",
            "make the comprehension a normal loop",
        ),
        "loop_named": (
            "build {label} in a [for |]loop",
            "expand the comprehension of {label} into a loop",
            "{label}: loop with append instead of the comprehension",
            "fill {label} with a for loop and append",
            "no comprehension for {label}",
            "[turn|convert] {label} into an explicit loop",
            "spell out the comprehension that makes {label}",
            "append to {label} in a loop",
            "unroll the comprehension for {label}",
        ),
    },
    "set_membership": {
        "only": (
            "use a set for the membership test",
            "membership test with a set[ literal|]",
            "[optimise|optimize] the membership test",
            "look it up in a set",
            "make the in test use a set",
            "set literal after in",
            "test membership in a set instead",
            "a set is faster for the in test",
            "in test: set, please",
        ),
        "text": (
            "use a set instead of {what}",
            "make {what} a set",
            "{what} -> set literal",
            "turn {what} into a set",
            "test membership in a set, not in {what}",
            "{what} should be a set",
            "set literal for {what}",
            "replace {what} [with|by] a set",
            "look it up in a set rather than {what}",
            "a set is faster than {what}",
        ),
    },
    "use_generator": {
        "generator": (
            "use a generator [in|for] {call}",
            "pass a generator to {call}",
            "no list inside {call}, use a generator",
            "{call}: generator instead of [a |]list",
            "drop the list brackets in {call}",
            "[optimise|optimize] the {call} call: no list needed",
            "don't build a list for {call}",
            "generator expression instead of a list in {call}",
            "{call} does not need a list",
            "avoid the temporary list in {call}",
            "make the argument of {call} a generator",
        ),
        "list": (
            "pass a list to {call}",
            "use a list comprehension in {call}",
            "{call}: list instead of generator",
            "no generator inside {call}, use a list",
            "put list brackets inside {call}",
            "make the argument of {call} a list",
            "list comprehension instead of the generator in {call}",
            "build a list for {call}",
            "turn the generator in {call} into a list",
        ),
    },
    "drop_keys": {
        "keys": (
            "drop .keys() from {what}",
            "no need for .keys() on {what}",
            "remove the .keys() of {what}",
            "iterate {what} directly, without keys()",
            "{what}.keys() -> {what}",
            "{what} instead of {what}.keys()",
            "keys() is not needed for {what}",
            "SIM118: {what}.keys()",
            "use {what} itself, not its keys()",
            "in {what}, not in {what}.keys()",
        ),
    },
    "cache_function": {
        "cache": (
            "cache {func} with {code}",
            "add @{code} to {func}",
            "[memoise|memoize] {func} with {code}",
            "optimise {func}: cache it with {code}",
            "{func} should be cached ({code})",
            "make {func} remember its results with {code}",
            "put {code} on {func}",
            "cache the results of {func} using {code}",
            "{func} is slow, decorate it with {code}",
            "decorate {func} with {code}",
            "use {code} for {func}",
        ),
    },
}
