"""Rules that put the difference of two syntax trees into phrases: renamed x to y, added parameter p, wrapped in try, …

`Describer.phrases` says what was done, `complete` whether that is everything: then the phrases and the old code settle the new tree."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Sequence

from . import source
from .names import dotted
from .releases_names import fingerprint, substitutions
from .releases_phrases import SIMPLE, Phrases, dump, is_text, same
from .releases_signatures import Signatures
from .repairs_damage import occurrences
from .view import FUNCTION


class Describer(Signatures):
    """Describes how `new` came from `old`; both are whole pieces of code, and the region is what an instruction is seen with."""

    def __init__(self, old: source.Unit, new: source.Unit, region: bytes):
        super().__init__(old, new, region)
        tree = self._substituted(old.tree, new.tree)
        self._body(tree.body, new.tree.body, None)

    def _substituted(self, tree: ast.Module, new: ast.Module) -> ast.Module:
        """The old tree after the renames and replaced chains of names that hold everywhere in it."""
        names, chains, result = substitutions(tree, new)
        parameters = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        for name, other in names.items():
            role = "parameter" if name in parameters else "variable"
            self._take(self._say("rename", old=name, new=other, role=role) if occurrences(self.region, name) else None)
        for name, other in chains.items():
            uses = [one for one in ast.walk(tree) if isinstance(one, (ast.Name, ast.Attribute)) and dotted(one) == name]
            calls = [one.func for one in ast.walk(tree) if isinstance(one, ast.Call) and dotted(one.func) == name]
            rule = "replace_call" if len(calls) == len(uses) else "use"
            self._take(self._say(rule, old=name, new=other) if self._quotable(name, other) and occurrences(self.region, name) else None)
        return result

    def _body(self, old: Sequence[ast.stmt], new: Sequence[ast.stmt], owner: ast.AST | None) -> None:
        """Describe the difference of two lists of statements."""
        keys = [[fingerprint(node) for node in body] for body in (old, new)]
        for tag, a, b, c, d in difflib.SequenceMatcher(None, *keys, autojunk=False).get_opcodes():
            if tag == "equal":
                continue
            if tag == "replace":
                found = self._wrapped(old[a:b], new[c:d])
                if found is not None:
                    self._take(found)
                    continue
                a, c = self._pairs(old, new, a, b, c, d, owner)
            for node in old[a:b]:
                self._take(self._removed(node))
            if c < d:
                self._take(self._inserted(old, b, new[c:d], owner))

    def _pairs(self, old: Sequence, new: Sequence, a: int, b: int, c: int, d: int, owner: ast.AST | None) -> tuple[int, int]:
        """Describe what is changed in place among old[a:b] and new[c:d]; returns where what is left begins (at b and d, or at a and c)."""
        if b - a == d - c:
            for one, other in zip(old[a:b], new[c:d], strict=True):
                self._statement(one, other)
            return b, d
        shorter, longer = sorted((b - a, d - c))
        if shorter > 3 or longer > 8:
            self.complete = False
            return b, d
        # Pair each statement with the likest one after the last pair; the rest were put in or taken away.
        at = c
        for i in range(a, b):
            marks = [(self._likeness(old[i], new[j]), -j) for j in range(at, d)]
            best, j = max(marks, default=(0.0, 0))
            if best >= 0.6:
                if -j > at:
                    self._take(self._inserted(old, i, new[at:-j], owner))
                self._statement(old[i], new[-j])
                at = -j + 1
            else:
                self._take(self._removed(old[i]))
        if at < d:
            self._take(self._inserted(old, b, new[at:d], owner))
        return b, d

    def _likeness(self, old: ast.stmt, new: ast.stmt) -> float:
        if type(old) is not type(new):
            return 0.0
        return difflib.SequenceMatcher(None, self._text(old, True), self._text(new, False), autojunk=False).ratio()

    def _statement(self, old: ast.stmt, new: ast.stmt) -> None:
        """Describe what changed within one statement."""
        if same(old, new):
            return
        if isinstance(old, FUNCTION) and isinstance(new, FUNCTION):
            self._function_head(old, new)
            self._body(old.body, new.body, old)
        elif isinstance(old, ast.ClassDef) and isinstance(new, ast.ClassDef):
            self._class_head(old, new)
            self._body(old.body, new.body, old)
        elif type(old) is not type(new):
            self._take(self._fragment(old, new, "change_line") if isinstance(old, SIMPLE) and isinstance(new, SIMPLE) else None)
        elif isinstance(old, SIMPLE):
            self._take(self._simple(old, new))
        else:
            self._compound(old, new)

    def _simple(self, old: ast.stmt, new: ast.stmt) -> Phrases | None:
        if isinstance(old, ast.Expr) and isinstance(old.value, ast.Constant) and isinstance(old.value.value, str):
            return None  # a docstring
        if isinstance(old, ast.ImportFrom) and old.module == new.module and old.level == new.level and old.module:
            added = [one for one in new.names if ast.dump(one) not in map(ast.dump, old.names)]
            kept = [one for one in new.names if ast.dump(one) in map(ast.dump, old.names)]
            if len(kept) == len(old.names) and 0 < len(added) <= 3:
                names = ", ".join(ast.unparse(one) for one in added)
                return self._say("import_name", new=names, module=old.module)
        values = [getattr(side, "value", None) for side in (old, new)]
        if all(values) and isinstance(old, (ast.Return, ast.Assign, ast.AnnAssign)):
            inner = self._fields(old, new)
            if inner and len(inner) <= 2 and all(phrase.rule != "replace" for phrase in inner):
                return inner
        if isinstance(old, ast.Return) and all(values):
            texts = self._text(old.value, True), self._text(new.value, False)
            if self._quotable(*texts) and self.lines.count("return " + texts[0]) == 1 and max(map(len, texts)) <= 40:
                return self._say("return", old=texts[0], new=texts[1])
        if isinstance(old, (ast.Assign, ast.AnnAssign)) and all(values):
            target = old.targets[0] if isinstance(old, ast.Assign) else old.target
            others = dump([one for field, one in ast.iter_fields(old) if field != "value"])
            texts = self._text(old.value, True), self._text(new.value, False)
            if others == dump([one for field, one in ast.iter_fields(new) if field != "value"]) and dotted(target):
                once = sum(line.startswith((dotted(target) + " =", dotted(target) + ":")) for line in self.lines) == 1
                if once and self._quotable(*texts) and max(map(len, texts)) <= 40:
                    return self._say("set", label=dotted(target), default=texts[0], value=texts[1])
        found = self._fields(old, new)
        return found if found is not None and len(found) <= 2 else self._fragment(old, new, "change_line")

    def _compound(self, old: ast.stmt, new: ast.stmt) -> None:
        """An if, loop, with, try or match: its head by expressions, its bodies as bodies."""
        for field in old._fields:
            a, b = getattr(old, field), getattr(new, field)
            if isinstance(a, list) and all(isinstance(one, ast.stmt) for one in [*a, *b]):
                if a and b:
                    self._body(a, b, old)
                elif a or b:
                    self._take(self._otherwise(old, b) if field == "orelse" and isinstance(old, ast.If) and b else None)
            elif field == "handlers" and len(a) == len(b):
                for one, other in zip(a, b, strict=True):
                    self._handler(one, other)
            elif isinstance(a, ast.expr) and isinstance(b, ast.expr):
                if not same(a, b):
                    self._take(self._expression(a, b))
            elif isinstance(a, list) and len(a) == len(b) and field == "items":
                for one, other in zip(a, b, strict=True):
                    if not same(one, other):
                        self._take(self._fields(one, other))
            elif dump(a) != dump(b):
                self.complete = False

    def _otherwise(self, old: ast.If, added: list[ast.stmt]) -> Phrases | None:
        """An else that an if got."""
        text, head = self._text(added[0], False), self._line(old)
        fits = len(added) == 1 and isinstance(added[0], SIMPLE) and head.startswith("if ") and self._quotable(text)
        return self._say("add_else", old=head.rstrip(":"), stmt=text) if fits else None

    def _handler(self, old: ast.ExceptHandler, new: ast.ExceptHandler) -> None:
        if old.name != new.name:
            self.complete = False
        if old.type is not None and new.type is not None:
            if not same(old.type, new.type):
                a, b = self._text(old.type, True), self._text(new.type, False)
                clear = self._quotable(a, b) and occurrences(self.region, "except " + a) == 1
                self._take(self._say("catch", old=a, new=b) if clear else None)
        elif not same(old.type, new.type):
            once = new.type is not None and self.region.count("except:") == 1 and self._quotable(self._text(new.type, False))
            self._take(self._say("catch_bare", new=self._text(new.type, False)) if once else None)
        self._body(old.body, new.body, old)

    def _removed(self, node: ast.stmt) -> Phrases | None:
        """A statement that is gone."""
        if isinstance(node, SIMPLE):
            line = self._line(node)
            return self._say("remove", old=line) if line and not is_text(node) else None
        if isinstance(node, ast.If) and not node.orelse and self._line(node):
            return self._say("remove_if", what=self._text(node.test, True)) if self._quotable(self._text(node.test, True)) else None
        return None

    def _inserted(self, old: Sequence[ast.stmt], at: int, added: Sequence[ast.stmt], owner: ast.AST | None) -> Phrases | None:
        """Statements put before old[at]."""
        if len(added) > 3:
            return None
        place = self._place(old, at, owner)
        found: Phrases = []
        for node in added:
            if place is None or is_text(node):
                return None
            if isinstance(node, SIMPLE):
                text = self._text(node, False)
                if not self._quotable(text):
                    return None
                found += self._say("insert", stmt=text, role=place[0], what=place[1])
            else:
                inner = self._guard(node)
                if inner is None:
                    return None
                text = "that"
                found += self._say("insert_if", **inner, role=place[0], what=place[1])
            place = ("after", text)
        return found

    def _guard(self, node: ast.stmt) -> dict[str, str] | None:
        """Condition and only statement of an `if` without `else`."""
        if not isinstance(node, ast.If) or node.orelse or len(node.body) != 1 or not isinstance(node.body[0], SIMPLE):
            return None
        test, action = self._text(node.test, False), self._text(node.body[0], False)
        return {"test": test, "stmt": action} if self._quotable(test, action) else None

    def _place(self, old: Sequence[ast.stmt], at: int, owner: ast.AST | None) -> tuple[str, str] | None:
        """(words, code) for the place before old[at]."""
        if isinstance(owner, FUNCTION):
            if at == len(old) and not isinstance(old[-1], ast.Return):
                return "at the end of", owner.name
            if at == 0 or at == 1 and is_text(old[0]):
                return "at the start of", owner.name
        if at < len(old) and (line := self._line(old[at])):
            return "before", line
        if at and isinstance(old[at - 1], SIMPLE) and (line := self._line(old[at - 1])):
            return "after", line
        if at < len(old) and isinstance(old[at], ast.Return) and sum(line.startswith("return") for line in self.lines) == 1:
            return "before", "the return"
        return None

    def _wrapped(self, old: Sequence[ast.stmt], new: Sequence[ast.stmt]) -> Phrases | None:
        """Statements put into, or taken out of, a with, a try or an if; None when that is not what happened."""
        if len(new) == 1 and isinstance(new[0], (ast.With, ast.Try, ast.If)) and dump(new[0].body) == dump(list(old)):
            what = self._lines_of(old)
            outer = new[0]
            if not what:
                return None
            if isinstance(outer, ast.With) and len(outer.items) == 1:
                head = "with " + self._text(outer.items[0].context_expr, False)
                if outer.items[0].optional_vars is not None:
                    head += " as " + self._text(outer.items[0].optional_vars, False)
                return self._say("wrap", what=what, new=head) if self._quotable(head) else None
            if isinstance(outer, ast.If) and not outer.orelse and self._quotable(self._text(outer.test, False)):
                return self._say("wrap_if", what=what, test=self._text(outer.test, False))
            if isinstance(outer, ast.Try) and len(outer.handlers) == 1 and not outer.orelse and not outer.finalbody:
                handler = outer.handlers[0]
                if handler.type is not None and len(handler.body) == 1 and isinstance(handler.body[0], SIMPLE):
                    caught = self._text(handler.type, False) + (f" as {handler.name}" if handler.name else "")
                    action = self._text(handler.body[0], False)
                    return self._say("wrap_try", what=what, caught=caught, stmt=action) if self._quotable(caught, action) else None
            return None
        if len(old) == 1 and isinstance(old[0], (ast.With, ast.Try, ast.If)) and dump(old[0].body) == dump(list(new)):
            if self._line(old[0]) and not isinstance(old[0], ast.Try):
                return self._say("unwrap", old=self._line(old[0]).rstrip(":"))
            tries = sum(line == "try:" for line in self.lines)
            return self._say("unwrap_try") if isinstance(old[0], ast.Try) and tries == 1 and not old[0].orelse else None
        return None

    def _lines_of(self, nodes: Sequence[ast.stmt]) -> str:
        """Words for one or more statements."""
        first, last = self._line(nodes[0]), self._line(nodes[-1])
        if len(nodes) == 1 and isinstance(nodes[0], SIMPLE):
            return first
        return f"{first} … {last}" if first and last and len(nodes) > 1 and isinstance(nodes[-1], SIMPLE) else ""
