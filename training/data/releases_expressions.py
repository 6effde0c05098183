"""Rules for the difference of two expressions: changed, added and removed arguments, conditions, values, else the code before and after."""

from __future__ import annotations

import ast

from .names import dotted
from .releases_phrases import Phrases, Speaker, dump, same
from .repairs_damage import occurrences


class Expressions(Speaker):
    """A speaker that describes expressions."""

    def _expression(self, old: ast.expr, new: ast.expr) -> Phrases | None:
        """Phrases for the difference of two expressions: of its parts when they are few, else of the whole."""
        if same(old, new):
            return []
        found = self._within(old, new)
        if found is not None and len(found) <= 2:
            return found
        return self._fragment(old, new)

    def _within(self, old: ast.expr, new: ast.expr) -> Phrases | None:
        if isinstance(new, ast.BoolOp) and same(new.values[0], old):
            rest = [self._text(one, False) for one in new.values[1:]]
            word = "and" if isinstance(new.op, ast.And) else "or"
            text = self._text(old, True)
            mixed = any(isinstance(one, ast.BoolOp) for one in (old, *new.values[1:]))  # words have no parentheses
            if len(rest) == 1 and not mixed and self._quotable(text, *rest) and occurrences(self.region, text) == 1:
                return self._say("extend", old=text, role=word, new=rest[0])
            return self._fragment(old, new)
        if isinstance(new, ast.Await) and same(new.value, old) and isinstance(old, ast.Call) and dotted(old.func):
            return self._say("await", call=dotted(old.func)) if self._called_once(dotted(old.func)) else None
        if type(old) is not type(new) or isinstance(old, (ast.JoinedStr, ast.Constant, ast.Name, ast.Attribute)):
            return None
        if isinstance(old, ast.Call) and same(old.func, new.func):
            return self._call(old, new)
        return self._fields(old, new)

    def _fields(self, old: ast.AST, new: ast.AST) -> Phrases | None:
        """The differences of two nodes of one type, field by field; None when a part cannot be described."""
        found: Phrases = []
        for field in old._fields:
            a, b = getattr(old, field, None), getattr(new, field, None)
            if isinstance(a, ast.expr) and isinstance(b, ast.expr):
                pairs = [(a, b)]
            elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b) and all(isinstance(one, ast.expr) for one in [*a, *b]):
                pairs = list(zip(a, b, strict=True))
            elif dump(a) == dump(b):
                continue
            else:
                return None
            for one, other in pairs:
                inner = self._expression(one, other)
                if inner is None:
                    return None
                found += inner
        return found

    def _called_once(self, callee: str) -> bool:
        return bool(callee) and self.region.count(callee + "(") == 1 and occurrences(self.region, callee) == 1

    def _call(self, old: ast.Call, new: ast.Call) -> Phrases | None:
        """Changed, added and removed arguments of a call that the region has once."""
        found: Phrases = []
        callee = dotted(old.func)
        once = self._called_once(callee)
        if len(new.args) < len(old.args):
            return None
        for one, other in zip(old.args, new.args, strict=False):
            inner = self._expression(one, other)
            if inner is None:
                return None
            found += inner
        for one in new.args[len(old.args) :]:
            text = self._text(one, False)
            if not once or not self._quotable(text) or len(new.args) > len(old.args) + 1:
                return None
            found += self._say("add_argument", call=callee, new=text)
        words = [{word.arg: word for word in call.keywords} for call in (old, new)]
        if None in words[0] or None in words[1]:
            return found if dump(old.keywords) == dump(new.keywords) else None
        if [key for key in words[0] if key in words[1]] != [key for key in words[1] if key in words[0]]:
            return None
        for key, word in words[0].items():
            if key not in words[1]:
                if not once:
                    return None
                found += self._say("remove_keyword", call=callee, label=key)
            elif not same(word.value, words[1][key].value):
                texts = self._text(word.value, True), self._text(words[1][key].value, False)
                if once and self._quotable(*texts):
                    found += self._say("keyword", call=callee, label=key, default=texts[0], value=texts[1])
                    continue
                inner = self._expression(word.value, words[1][key].value)
                if inner is None:
                    return None
                found += inner
        fresh = [key for key in words[1] if key not in words[0]]
        if fresh and list(words[1])[len(words[1]) - len(fresh) :] != fresh:
            return None  # not at the end: the order of keywords is part of the tree
        for key in fresh:
            text = self._text(words[1][key].value, False)
            if not once or not self._quotable(text):
                return None
            found += self._say("add_keyword", call=callee, label=key, value=text)
        return found
