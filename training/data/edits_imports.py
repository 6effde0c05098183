"""Edits of imports: sorted lines or names, an import removed, another module or form for one."""

from __future__ import annotations

import ast
import re
from random import Random

from . import layout, names
from .names import Pools
from .splice import Change, Splice
from .view import Draft, View

_IMPORT = re.compile(rb"^[ \t]*(?:import|from) [\w.]", re.M)
_FROM = re.compile(rb"^[ \t]*from [\w.]+ import \(?\w+", re.M)
_BLOCK = re.compile(rb"^([ \t]*)(import|from) [\w.][^\n]*\n\1\2 [\w.]|^[ \t]*from [\w.]+ import \w+, \w", re.M)


def _imports(view: View) -> list[ast.Import | ast.ImportFrom]:
    """The import statements of the region on one line of their own, without comment."""
    found = []
    for node in view.find(ast.Import, ast.ImportFrom):
        if node.lineno == node.end_lineno and layout.is_alone(view, node) and not layout.has_comment(view, node):
            found.append(node)
    return found


def _shuffled(rng: Random, items: list) -> list:
    order = items[:]
    for _ in range(5):
        rng.shuffle(order)
        if order != items:
            break
    return order


def sort_imports(view: View, rng: Random, pools: Pools) -> Draft | None:
    """The lines of a block of imports of one form, or the names of one `from` import, in alphabetical order. Sorted ones are shown
    shuffled."""
    found = _imports(view)
    lines = [view.source_of(node) for node in found]
    if len(found) > 1 and rng.random() < 0.6:
        body = layout.body_of(view, found[0])[2]
        every = view.facts.by_type.get(ast.Import, []) + view.facts.by_type.get(ast.ImportFrom, [])
        found = sorted(found, key=lambda node: node.lineno)
        lines = [view.source_of(node) for node in found]
        if len(every) != len(found) or any(b.lineno != a.lineno + 1 or b not in body for a, b in zip(found, found[1:], strict=False)):
            return None
        if (
            len({type(node) for node in found}) > 1
            or any("__future__" in line for line in lines)
            or len(set(map(str.lower, lines))) < len(lines)
        ):
            return None
        good = sorted(lines, key=str.lower)
        inverse = lines == good
        order = _shuffled(rng, good) if inverse else good
        if order == lines:
            return None
        start, end = view.start(found[0]), view.end(found[-1])
        indent = layout.indent_of(view, found[0].lineno).decode()
        text = ("\n" + indent).join(order).encode()
        holder, field, body = layout.body_of(view, found[0])
        at = body.index(found[0])
        nodes = [found[lines.index(line)] for line in order]
        change = {id(holder): Change(fields={field: [*body[:at], *nodes, *body[at + len(nodes) :]]})}
        return Draft("sort_imports", "lines", {}, [Splice(start, end, text)], change, inverse)
    found = [node for node in found if isinstance(node, ast.ImportFrom) and len(node.names) > 1 and node.module]
    if not found:
        return None
    node = rng.choice(found)
    words = [one.name if one.asname is None else f"{one.name} as {one.asname}" for one in node.names]
    good = sorted(words, key=str.lower)
    inverse = words == good
    order = _shuffled(rng, good) if inverse else good
    head = f"from {'.' * node.level}{node.module} import "
    if order == words or view.source_of(node) != head + ", ".join(words) or len(set(map(str.lower, words))) < len(words):
        return None
    change = {id(node): Change(fields={"names": [node.names[words.index(word)] for word in order]})}
    splice = Splice(*layout.span(view, node), (head + ", ".join(order)).encode())
    return Draft("sort_imports", "names", {"module": "." * node.level + node.module}, [splice], change, inverse)


def absent_order(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """Imports to sort that are sorted."""
    found = sorted(_imports(view), key=lambda node: node.lineno)
    every = len(view.facts.by_type.get(ast.Import, [])) + len(view.facts.by_type.get(ast.ImportFrom, []))
    lines = [view.source_of(node).lower() for node in found]
    near = all(b.lineno == a.lineno + 1 for a, b in zip(found, found[1:], strict=False))
    return (
        ("lines", {}) if len(found) == every > 1 and near and lines == sorted(lines) and len({type(node) for node in found}) == 1 else None
    )


def _free(view: View, name: str) -> bool:
    """True when the unit says a name just once: where it is imported."""
    return len(re.findall(rb"\b" + re.escape(name.encode()) + rb"\b", view.text)) == 1


def remove_import(view: View, rng: Random, pools: Pools) -> Draft | None:
    """An imported name that the code around does not use goes, and with the last one its statement."""
    rows = []
    for node in view.find(ast.Import, ast.ImportFrom):
        for number, alias in enumerate(node.names):
            bound = (alias.asname or alias.name).split(".")[0]
            if (
                alias.name != "*"
                and _free(view, alias.asname or alias.name)
                and _free(view, bound)
                and getattr(node, "module", "") != "__future__"
            ):
                rows.append((node, number, alias.asname or alias.name))
    if not rows:
        return None
    node, number, name = rng.choice(rows)
    slots = {"old": name, "module": getattr(node, "module", None) or name}
    if len(node.names) == 1:
        if not layout.is_alone(view, node) or len(layout.body_of(view, node)[2]) < 2 or layout.has_comment(view, node):
            return None
        splice = Splice(view.starts[node.lineno - 1], view.starts[node.end_lineno], b"")
        return Draft("remove_import", "name", slots, [splice], {id(node): Change(remove=True)})
    splice = layout.drop_item(view, [layout.span(view, alias) for alias in node.names], number)
    kept = [one for i, one in enumerate(node.names) if i != number]
    variant = "from" if isinstance(node, ast.ImportFrom) and node.module and rng.random() < 0.4 else "name"
    return Draft("remove_import", variant, slots, [splice], {id(node): Change(fields={"names": kept})}) if splice else None


def absent_import(view: View, rng: Random, pools: Pools) -> tuple[str, dict[str, str]] | None:
    """An import that is not there."""
    name = names.pick(rng, pools.modules).split(".")[-1]
    return None if name in view.taken else ("name", {"old": name, "module": name})


def change_import(view: View, rng: Random, pools: Pools) -> Draft | None:
    """Another module for a `from` import; an alias for a module; `import x.y as z` in the `from` form and back."""
    found = _imports(view)
    if not found:
        return None
    node = rng.choice(found)
    text = view.source_of(node)
    if isinstance(node, ast.ImportFrom):
        if node.module in (None, "__future__") or node.names[0].name == "*" or view.region.count(text.encode()) != 1:
            return None
        dots = "." * node.level
        old, alias = dots + node.module, node.names[0]
        if len(node.names) == 1 and not node.level and rng.random() < 0.3:
            new = f"import {old}.{alias.name}" + f" as {alias.asname or alias.name}"
            splice = Splice(*layout.span(view, node), new.encode())
            tree = ast.Import([ast.alias(f"{old}.{alias.name}", alias.asname or alias.name)])
            slots = {"what": text, "new": new}
            return (
                Draft("change_import", "form", slots, [splice], {id(node): Change(node=tree)})
                if text.startswith(f"from {old} import {alias.name}")
                else None
            )
        module = names.pick(rng, pools.modules) if rng.random() < 0.6 else ".".join([node.module, names.pick(rng, pools.words)])
        place = view.start(node) + len("from ")
        if (
            module == old
            or view.text[place : place + len(old)] != old.encode()
            or sum(getattr(one, "module", None) == node.module for one in found) > 1
        ):
            return None
        change = {id(node): Change(fields={"module": module, "level": 0})}
        slots = {"old": old, "new": module, "what": alias.name}
        return Draft("change_import", "module", slots, [Splice(place, place + len(old), module.encode())], change)
    alias = node.names[0]
    if len(node.names) > 1:
        return None
    if alias.asname and "." in alias.name and rng.random() < 0.7:
        base, last = alias.name.rsplit(".", 1)
        same = last == alias.asname
        new = f"from {base} import {last}" + ("" if same else f" as {alias.asname}")
        tree = ast.ImportFrom(base, [ast.alias(last, None if same else alias.asname)], 0)
        splice = Splice(*layout.span(view, node), new.encode())
        return Draft("change_import", "form", {"what": text, "new": new}, [splice], {id(node): Change(node=tree)})
    if alias.asname or "." in alias.name or not _free(view, alias.name):
        return None
    short = rng.choice((alias.name[:2], "_" + alias.name, alias.name[0]))
    if short in view.taken or len(alias.name) < 4:
        return None
    change = {id(alias): Change(fields={"asname": short})}
    place = view.end(node)
    return Draft("change_import", "alias", {"old": alias.name, "new": short}, [Splice(place, place, f" as {short}".encode())], change)


KINDS = {
    "sort_imports": (sort_imports, 6, _BLOCK),
    "remove_import": (remove_import, 5, _IMPORT),
    "change_import": (change_import, 5, _IMPORT),
}

ABSENT = {"sort_imports": absent_order, "remove_import": absent_import}

TEMPLATES = {
    "sort_imports": {
        "lines": (
            "sort the imports",
            "sort [the |]imports alphabetically",
            "put the imports in [alphabetical |]order",
            "isort[ please| this|]",
            "imports are not sorted",
            "order the import lines",
            "imports in alphabetical order",
            "fix the order of the imports",
            "alphabetise the imports",
            "reorder imports",
        ),
        "names": (
            "sort the names imported from {module}",
            "sort the import from {module}",
            "names of the {module} import in alphabetical order",
            "alphabetical order in the import from {module}",
            "order the names in from {module} import",
            "from {module} import: sort it",
            "isort the {module} import",
            "put the names from {module} in order",
            "reorder what is imported from {module}",
        ),
    },
    "remove_import": {
        "name": (
            "remove the import of {old}",
            "remove the unused import {old}",
            "{old} is not used, remove the import",
            "[delete|drop] the {old} import",
            "don't import {old}",
            "unused import: {old}",
            "F401 {old}",
            "no need to import {old}",
            "get rid of the import of {old}",
            "{old} is imported but unused",
            "stop importing {old}",
        ),
        "from": (
            "remove {old} from the {module} import",
            "don't import {old} from {module}",
            "[delete|drop] {old} from the import of {module}",
            "from {module} import: no {old}",
            "{old} from {module} is unused, remove it",
            "take {old} out of the {module} import",
            "we don't need {old} from {module}",
            "stop importing {old} from {module}",
            "the {module} import should not have {old}",
        ),
    },
    "change_import": {
        "module": (
            "import from {new} instead of {old}",
            "from {old} -> from {new}",
            "change the import from {old} to {new}",
            "{old} moved to {new}",
            "import {what} from {new}, not from {old}",
            "replace the module {old} [with|by] {new} in the import",
            "{what} now lives in {new}",
            "the import should be from {new}",
            "use {new} instead of {old} for the import",
            "{what} is in {new} now, fix the import",
        ),
        "form": (
            "write {what} as {new}",
            "{what} -> {new}",
            "replace {what} [with|by] {new}",
            "use {new} instead of {what}",
            "change {what} to {new}",
            "{new} rather than {what}",
            "turn {what} into {new}",
            "the import {what} should be {new}",
            "rewrite the import {what}: {new}",
        ),
        "alias": (
            "import {old} as {new}",
            "give the import of {old} the alias {new}",
            "import {old} under the name {new}",
            "{old} as {new}",
            "alias {old} as {new} in the import",
            "the import of {old} needs the alias {new}",
            "abbreviate {old} to {new} in the import",
            "call the imported {old} {new}",
            "shorten the import: {old} as {new}",
        ),
    },
}
