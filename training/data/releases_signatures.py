"""Rules for the heads of functions and classes: parameters, defaults, annotations, decorators, bases."""

from __future__ import annotations

import ast
from typing import NamedTuple

from .releases_expressions import Expressions
from .releases_phrases import dump, same


class _Parameter(NamedTuple):
    """One parameter of a function."""

    name: str
    node: ast.arg
    default: ast.expr | None
    kind: str  # "only" (positional only), "plain", "star", "keyword", "stars"
    stars: str


def _arguments(arguments: ast.arguments) -> list[_Parameter]:
    """The parameters of a function in their order."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    found = [
        _Parameter(one.arg, one, value, "only" if one in arguments.posonlyargs else "plain", "")
        for one, value in zip(positional, defaults, strict=True)
    ]
    if arguments.vararg:
        found.append(_Parameter(arguments.vararg.arg, arguments.vararg, None, "star", "*"))
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    found += [_Parameter(one.arg, one, value, "keyword", "") for one, value in pairs]
    if arguments.kwarg:
        found.append(_Parameter(arguments.kwarg.arg, arguments.kwarg, None, "stars", "**"))
    return found


class Signatures(Expressions):
    """A speaker that describes the heads of functions and classes."""

    def _function_head(self, old: ast.stmt, new: ast.stmt) -> None:
        """Describe what changed of a function but for its body."""
        if type(old) is not type(new):
            self._take(self._say("make_async" if isinstance(new, ast.AsyncFunctionDef) else "make_sync", func=old.name))
        if old.name != new.name:
            self._take(self._say("rename", old=old.name, new=new.name, role="function"))
        self._decorators(old, new)
        self._parameters(old, new)
        if same(old.returns, new.returns):
            return
        if new.returns is None:
            self._take(self._say("remove_returns", func=old.name))
        else:
            text = self._text(new.returns, False)
            self._take(self._say("returns", func=old.name, new=text) if self._quotable(text) else None)

    def _class_head(self, old: ast.ClassDef, new: ast.ClassDef) -> None:
        """Describe what changed of a class but for its body."""
        if old.name != new.name:
            self._take(self._say("rename", old=old.name, new=new.name, role="class"))
        self._decorators(old, new)
        if dump(old.bases) != dump(new.bases) or dump(old.keywords) != dump(new.keywords):
            bases = ", ".join(self._text(node, False) for node in [*new.bases, *new.keywords])
            self._take(self._say("bases", func=old.name, new=bases) if self._quotable(bases) else None)

    def _decorators(self, old: ast.stmt, new: ast.stmt) -> None:
        a, b = [dump(one) for one in old.decorator_list], [dump(one) for one in new.decorator_list]
        added = [one for one, key in zip(new.decorator_list, b, strict=True) if key not in a]
        gone = [one for one, key in zip(old.decorator_list, a, strict=True) if key not in b]
        texts = ["@" + self._text(one, False) for one in added], ["@" + self._text(one, True) for one in gone]
        if a == b:
            return
        if len(added) + len(gone) == 1 and self._quotable(*texts[0], *texts[1]):
            only = len(b) == 1 or added == new.decorator_list[:1]
            if gone:
                self._take(self._say("undecorate", func=old.name, old=texts[1][0]))
            else:
                self._take(self._say("decorate", func=old.name, new=texts[0][0]) if only else None)
        elif len(added) == len(gone) == 1 and len(a) == len(b) and self._quotable(*texts[0], *texts[1]):
            self._take(self._say("replace", old=texts[1][0], new=texts[0][0]))
        else:
            self._take(None)

    def _parameters(self, old: ast.stmt, new: ast.stmt) -> None:
        a, b = _arguments(old.args), _arguments(new.args)
        names = [[one.name for one in side] for side in (a, b)]
        kept = [name for name in names[0] if name in names[1]]
        if kept != [name for name in names[1] if name in names[0]]:
            self.complete = False  # another order
            return
        for one in a:
            if one.name not in names[1]:
                self._take(self._say("remove_parameter", func=old.name, old=one.name))
        for i, one in enumerate(b):
            if one.name not in names[0]:
                previous = b[i - 1].name if i else ""
                text = one.stars + self._parameter(one)
                last = i == len(b) - 1 or b[i + 1].stars == "**"
                marked = one.kind != "plain" and not any(other.kind == one.kind for other in a)
                if not self._quotable(text) or marked and one.kind in ("only", "keyword"):
                    self._take(None)
                elif last:
                    self._take(self._say("add_parameter", func=old.name, new=text))
                elif previous:
                    self._take(self._say("add_parameter_after", func=old.name, new=text, old=previous))
                else:
                    self._take(self._say("add_parameter_first", func=old.name, new=text))
            else:
                self._parameter_change(old, a[names[0].index(one.name)], one)

    def _parameter(self, one: _Parameter) -> str:
        text = self._text(one.node, False)
        gap = " = " if one.node.annotation is not None else "="
        return text + (gap + self._text(one.default, False) if one.default is not None else "")

    def _parameter_change(self, function: ast.stmt, old: _Parameter, new: _Parameter) -> None:
        if old.kind != new.kind:
            if (old.kind, new.kind) == ("plain", "keyword"):
                self._take(self._say("keyword_only", func=function.name, label=new.name))
            else:
                self.complete = False
        if not same(old.default, new.default):
            texts = [self._text(one.default, side) if one.default is not None else "" for one, side in ((old, True), (new, False))]
            if not self._quotable(*filter(None, texts)):
                self._take(None)
            elif all(texts):
                self._take(self._say("default", func=function.name, label=new.name, value=texts[1], default=texts[0]))
            elif texts[1]:
                self._take(self._say("give_default", func=function.name, label=new.name, value=texts[1]))
            else:
                self._take(self._say("no_default", func=function.name, label=new.name))
        if not same(old.node.annotation, new.node.annotation):
            if new.node.annotation is None:
                self._take(self._say("remove_annotation", label=new.name))
            else:
                text = self._text(new.node.annotation, False)
                self._take(self._say("annotate", label=new.stars + new.name, new=text) if self._quotable(text) else None)
