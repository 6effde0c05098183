"""The rule-based baseline: an instruction is read with regular expressions and done on the region's tokens.

Rules are tried in order; the first that fits and changes something wins, else the region stays. They were written from the wordings that
training uses, never from those that `training.data` keeps for evaluation. A word may be in back-ticks or quotes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from . import rewrite, rewrite_functions

Action = Callable[[str, dict[str, str]], str | None]  # (region, slots) -> the new region, or None

_ROLE = r"(?:(?:the )?(?:local |global )?(?:variable|parameter|argument|param|function|method|class|name|constant|identifier):? )?"
_ATTRIBUTE = r"(?:the )?(?:attribute|field|member|property):? "
_EVERY = r"(?:every |all |each |the |any )?(?:(?:calls?|uses?|occurrences?|references?|usages?|imports?)(?: of| to)? )?"
_TO = r"(?: to | into | as | -> | => |, new name )"
_DEFAULT = r"(?:the )?default(?: value)?"


class Rule(NamedTuple):
    pattern: re.Pattern[str]
    action: Action


def _name(text: str) -> str:
    return text[1:-1] if len(text) > 2 and text[0] == text[-1] and text[0] in "`'\"" else text


def _value(text: str) -> str:
    return text.strip("`") if text.startswith("`") else text


def _bare(text: str) -> str:
    return _name(text).removesuffix("()").removesuffix("(")


def _rename(region: str, slot: dict[str, str]) -> str | None:
    return rewrite.rename(region, _bare(slot["old"]), _bare(slot["new"]))


def _rename_attribute(region: str, slot: dict[str, str]) -> str | None:
    return rewrite.rename(region, _bare(slot["old"]), _bare(slot["new"]), attribute=True)


def _replace(region: str, slot: dict[str, str]) -> str | None:
    """What can be meant by "X to Y": a value, a callee, a name, or the tokens as they are."""
    old, new = _value(slot["old"]), _value(slot["new"])
    if rewrite.is_literal(old):
        return rewrite.replace_code(region, old, new) or _replace_names(region, slot)
    return _replace_names(region, slot) or rewrite.replace_code(region, old, new)


def _replace_names(region: str, slot: dict[str, str]) -> str | None:
    old, new = _bare(slot["old"]), _bare(slot["new"])
    if not rewrite.is_name(old):
        return None
    return rewrite.replace_call(region, old, new) or rewrite.rename(region, old, new)


def _set(region: str, slot: dict[str, str]) -> str | None:
    old = _value(slot["old"]) if slot.get("old") else None
    return rewrite.set_value(region, _bare(slot["label"]), _value(slot["new"]), old)


def _set_default(region: str, slot: dict[str, str]) -> str | None:
    old = _value(slot["old"]) if slot.get("old") else None
    label, new = _bare(slot["label"]), _value(slot["new"])
    return rewrite.set_value(region, label, new, old, default=True) or rewrite.set_value(region, label, new, old)


def _switch(value: str) -> Action:
    return lambda region, slot: rewrite.set_value(region, _bare(slot["label"]), value)


def _remove(region: str, slot: dict[str, str]) -> str | None:
    return rewrite.remove(region, _name(slot["what"])) or rewrite.remove(region, _bare(slot["what"]))


def _insert(after: bool) -> Action:
    return lambda region, slot: rewrite.insert(region, _name(slot["stmt"]), _name(slot["what"]), after)


def _insert_return(region: str, slot: dict[str, str]) -> str | None:
    return rewrite.insert(region, _name(slot["stmt"]), "return", after=False)


def _insert_first(region: str, slot: dict[str, str]) -> str | None:
    return rewrite.insert_first(region, _name(slot["stmt"]), _bare(slot["what"]))


def _import(region: str, slot: dict[str, str]) -> str | None:
    return rewrite.import_name(region, _name(slot["new"]), _name(slot["module"]))


def _named(function: Callable[..., str | None], *slots: str) -> Action:
    """An action on the texts of these slots, names and code without their quotes; a slot that the wording lacks is None."""
    return lambda region, slot: function(region, *(_bare(slot[name]) if name in slot else None for name in slots))


def _function_rules() -> Iterator[tuple[str, Action]]:
    """Of functions, calls and lines."""
    made = rewrite_functions
    drop = r"(?:remove|delete|drop|get rid of|take out|strip)"
    parameter = r"(?:parameter|argument|param|keyword)"
    document = _named(made.docstring, "what", "text")
    yield rf"{drop} (?:the )?docstring(?: (?:of|from|for) <what>)?", _named(made.docstring, "what", "no")
    yield r"(?:<what>: )?no docstring(?: for <what>)?", _named(made.docstring, "what", "no")
    yield r"(?:document|docstring for) <what>: <text>", document
    yield r"<what> needs a docstring: <text>", document
    yield r"(?:add|give) the docstring <text> to <what>", document
    yield r"(?:set|change) the docstring of <what> to <text>", document
    yield r"the docstring of <what> should be <text>", document
    yield r"update <what>'s docstring: <text>", document
    yield r"comment <what> back in", _named(made.uncomment, "what")
    yield r"(?:uncomment|activate)(?: the line)? <what>", _named(made.uncomment, "what")
    yield r"remove the # before <what>", _named(made.uncomment, "what")
    yield r"comment out:? (?:the line )?<what>", _named(made.comment_out, "what")
    yield r"comment <what> out", _named(made.comment_out, "what")
    yield r"put a # before <what>", _named(made.comment_out, "what")
    yield r"(?:add|put) <text> (?:to|on) <what>", _decorate
    yield r"decorate <what> with <text>", _named(made.decorate, "what", "text")
    yield r"<what>: <text>", _decorate
    yield r"<what> should be cached \(<text>\)", _named(made.decorate, "what", "text")
    yield r"cache the results of <what> using <text>", _named(made.decorate, "what", "text")
    yield rf"{drop} the decorator <what>", _remove
    yield rf"<what>: add (?:{parameter} )?<text>", _named(made.add_parameter, "what", "text")
    yield rf"<what> (?:gets|should get|takes) (?:a|the|another) {parameter} <text>", _named(made.add_parameter, "what", "text")
    yield rf"(?:add )?(?:a |the )?(?:new )?{parameter} <text> (?:for|to) <what>", _named(made.add_parameter, "what", "text")
    yield rf"{drop} (?:the )?{parameter} <text> (?:of|from) (?:the call of )?<what>", _named(made.remove_argument, "text", "what")
    yield rf"{drop} (?:the )?<text> {parameter} (?:of|from) (?:the call of )?<what>", _named(made.remove_argument, "text", "what")
    yield r"call <what> without <text>", _named(made.remove_argument, "text", "what")
    yield r"make <what> optional with default <text>", _default
    yield r"in <>,? make <what> optional with default <text>", _default
    yield r"give <what> the default (?:of )?<text>", _default
    yield r"add default <text> to <what>", _default
    yield r"(?:<>: )?<what> should be required", _named(made.remove_default, "what")
    yield r"no default for <what>", _named(made.remove_default, "what")
    yield r"add (?:the )?return type <text> to <what>", _named(made.annotate_return, "what", "text")
    yield r"(?:make )?<what> -> <text>", _named(made.annotate_return, "what", "text")
    yield rf"{drop} the return type(?: hint)? of <what>", lambda region, slot: made.annotate_return(region, _bare(slot["what"]), "")
    yield rf"{drop} the (?:annotation|type hint|type) of <what>", lambda region, slot: made.annotate(region, _bare(slot["what"]), "")
    yield r"(?:declare|annotate) <what> (?:as|with) <text>", _named(made.annotate, "what", "text")
    yield r"the type(?: hint)? of <what> should be <text>", _named(made.annotate, "what", "text")
    yield r"make the type(?: hint)? of <what> <text>", _named(made.annotate, "what", "text")
    yield r"<what>: <text>", _named(made.annotate, "what", "text")
    yield r"rename the keyword <what> to <text>(?: in the call of <>)?", _named(made.rename_keyword, "what", "text")
    yield r"(?:<>: )?(?:pass|use) <text>=? instead of <what>=?(?: (?:for|in) <>)?", _named(made.rename_keyword, "what", "text")
    yield r"(?:pass|give) <text> (?:to|in) <what>", _keyword
    yield r"give <what> <text>(?: as well)?", _keyword
    yield r"in the call (?:to|of) <what>,? add <text>", _keyword
    yield r"<what> gets <text>", _keyword
    order = r"(?:swap|exchange|switch(?: the order of)?)(?: the arguments)?"
    yield rf"{order} <what> and <text>(?: (?:of|in) <>)?", _named(made.swap, "what", "text")
    yield r"the arguments <what> and <text> of <> should change places", _named(made.swap, "what", "text")
    yield r"wrap <old> in <new>(?:\(\))?", lambda region, slot: rewrite.replace_code(
        region, _name(slot["old"]), f"{_bare(slot['new'])}({_name(slot['old'])})"
    )
    yield rf"(?:{drop}|without)(?: all| the)? print(?: calls?| statements?)?", lambda region, slot: made.remove_calls(region, "print")
    yield rf"(?:{drop}|remove) the import of <what>", _named(made.remove_import, "what")
    yield r"(?:don't import|f401) <what>", _named(made.remove_import, "what")
    yield rf"{drop} the <what> import", _named(made.remove_import, "what")
    yield r"(?:convert <what> to async|<what> should be async|async <what>)", _named(made.make_async, "what")
    yield r".*(?:compar\w+|pep8).*\bnone\b.*", lambda region, slot: made.is_none(region)
    yield r".*\b(?:is not|not in)\b.*", lambda region, slot: made.negated_membership(region)
    yield r".*\+=.*", lambda region, slot: made.augment(region)
    # Mistakes with what is right beside them
    fixed = r"(?: should be | => | -> | to |: it should be | is wrong, it should be )"
    yield rf"(?:fix|correct|bug|wrong|mistake|typo):? <old>{fixed}<new>", _replace_code
    yield r"<old> (?:is wrong, it should be|should read) <new>", _replace_code
    yield r"(?:it should (?:say|be)|write) <new>(?:,? not | instead of )<old>", _replace_code


def _replace_code(region: str, slot: dict[str, str]) -> str | None:
    return rewrite.replace_code(region, _name(slot["old"]), _name(slot["new"]))


def _decorate(region: str, slot: dict[str, str]) -> str | None:
    text = _name(slot["text"])
    cached = re.match(r"(?:functools\.)?(?:lru_)?cache\b", text)
    return rewrite_functions.decorate(region, _bare(slot["what"]), text) if text.startswith("@") or cached else None


def _default(region: str, slot: dict[str, str]) -> str | None:
    return rewrite_functions.add_default(region, _bare(slot["what"]), _value(slot["text"]))


def _keyword(region: str, slot: dict[str, str]) -> str | None:
    text = _name(slot["text"])
    return rewrite_functions.add_keyword(region, _bare(slot["what"]), text) if re.match(r"\w+=[^=]", text) else None


def _rules() -> Iterator[tuple[str, Action]]:
    """(wording, action): <slot> is any text, as little of it as fits; <> is text that decides nothing."""
    # Names
    yield r"s/<old>/<new>/", _rename
    yield rf"rename {_ATTRIBUTE}<old>(?: of <>)?{_TO}<new>", _rename_attribute
    yield rf"(?:rename|call|change) {_ATTRIBUTE}<old>(?:{_TO}| )<new>", _rename_attribute
    yield rf"{_ATTRIBUTE}<old>(?: -> | is now called | should be called )<new>", _rename_attribute
    yield rf"rename (?:<>'s ){_ATTRIBUTE}<old>{_TO}<new>", _rename_attribute
    yield rf"(?:in <>, |<>: )?rename (?:all uses of |every use of )?{_ROLE}<old>(?: of <>)?{_TO}<new>(?: in <>)?", _rename
    yield rf"rename {_ROLE}<old>{_TO}<new>", _rename
    yield rf"rename <>'s {_ROLE}<old>{_TO}<new>", _rename
    yield rf"(?:change|update) the name of {_ROLE}<old>{_TO}<new>", _rename
    yield rf"{_ROLE}<old> should be (?:called|named|renamed to) <new>", _rename
    yield rf"use the name <new> (?:instead of|for) {_ROLE}<old>", _rename
    yield rf"give {_ROLE}<old> the name <new>", _rename
    yield rf"replace {_ROLE}<old> (?:with|by) <new>", _replace
    yield rf"change <> so that {_ROLE}<old> is called <new>", _rename
    yield rf"call {_ROLE}<old> <new>(?: instead)?", _rename
    yield r"make <what> required", _named(rewrite_functions.remove_default, "what")
    # Values that have a label
    for place in ("", r" in <>"):
        yield rf"(?:change|update|switch|replace|set) {_DEFAULT} (?:of|for) <label> from <old> to <new>{place}", _set_default
        yield rf"(?:in <>,? )?(?:change|update|set) {_DEFAULT} (?:of|for) (?:<>'s )?<label> to <new>{place}", _set_default
    yield rf"{_DEFAULT} (?:of|for) <label>: <old> -> <new>", _set_default
    yield rf"{_DEFAULT} (?:of|for) <label> should be <new>, not <old>", _set_default
    yield rf"{_DEFAULT} (?:of|for) <label> should be <new>", _set_default
    yield rf"replace {_DEFAULT} <old> of <label> with <new>", _set_default
    yield rf"(?:change|update) {_DEFAULT} <label> from <old> to <new>", _set_default
    yield rf"use <new> instead of <old> as {_DEFAULT} (?:of|for) <label>", _set_default
    yield rf"(?:in <> )?use <new> as {_DEFAULT} (?:of|for) <label>", _set_default
    yield r"make <label>(?: of <>)? default to <new>(?: instead of <old>)?", _set_default
    yield rf"make <new> {_DEFAULT} (?:of|for) <label>", _set_default
    yield r"(?:let )?<label>(?: of <>)? (?:should default|default|defaults) to <new>(?: in <>)?", _set_default
    yield r"(?:<>: )?(?:parameter <label>: )default <new>", _set_default
    yield r"(?:<>: )?(?:set )?default <label>(?: = |=| to )<new>", _set_default
    yield r"<label> default <new>", _set_default
    yield r"<> should have <label>=<new> by default", _set_default
    yield r"(?:enable|turn on|switch on|activate) <label>(?: by default)?", _switch("True")
    yield r"(?:turn|switch) <label> on(?: by default)?", _switch("True")
    yield r"<label> (?:should be )?on(?: by default)?", _switch("True")
    yield r"make <label> default to true", _switch("True")
    yield r"set <label> to true", _switch("True")
    yield r"(?:disable|turn off|switch off|deactivate) <label>(?: by default)?", _switch("False")
    yield r"(?:turn|switch) <label> off(?: by default)?", _switch("False")
    yield r"<label> (?:should be )?off(?: by default)?", _switch("False")
    yield r"make <label> default to false", _switch("False")
    yield r"set <label> to false", _switch("False")
    yield r"(?:change|update|set|switch|move) (?:the value of )?<label> from <old> to <new>", _set
    yield r"<label>:? <old> -> <new>", _set
    yield r"(?:change )?<label>=<old>(?: to | -> )\w+=<new>", _set
    yield r"<label> should be <new>(?: instead of |, not )<old>", _set
    yield r"(?:use <new> instead of <old>|replace <old> (?:with|by) <new>) for <label>", _set
    yield r"change the <old> of <label> to <new>", _set
    yield r"(?:pass|give|use) <label>=<new> (?:to|when calling|in|for) <>", _set
    yield r"call <> with <label>=<new>", _set
    yield r"in (?:the call (?:of|to) )?<>,? (?:set|change) <label> to <new>", _set
    yield r"(?:set|change|update) (?:the value of )?<label> to <new> in (?:the call (?:of|to) )?<>", _set
    yield r"(?:set|change|update|let|assign) (?:the value of )?<label>(?: to | be |=| = )<new>", _set
    yield r"(?:make|want|i want) <label>(?: to be|) <new>", _set
    yield r"assign <new> to <label>", _set
    yield r"(?:use|put) <new> (?:for|as) <label>", _set
    yield r"(?:<>: )?<label>(?: = |=|: )<new>", _set
    yield r"<> should get <label>=<new>", _set
    yield r"<label> (?:should|must) be <new>", _set
    # Imports and statements
    yield r"(?:also )?import <new> from <module>(?: too| as well)?", _import
    yield r"from <module> (?:also )?import <new>(?: as well| too)?", _import
    yield r"add <new> to the import from <module>", _import
    yield r"add <new> to the <module> import", _import
    yield r"we also need <new> from <module>", _import
    yield r"(?:add|insert|put) <stmt> (?:just |right )?before (?:the )?return(?: statement|s)?", _insert_return
    yield r"before (?:returning|the return(?: statement)?|it returns),? (?:add|insert|put) <stmt>", _insert_return
    yield r"(?:add|insert|put) <stmt> (?:just )?before it returns", _insert_return
    yield r"<stmt> before the return(?: statement)?", _insert_return
    yield r"(?:add|insert|put) <stmt> (?:at|to) the (?:start|beginning|top) of <what>", _insert_first
    yield r"(?:at the (?:start|beginning|top) of )<what>,? (?:add|insert|put) <stmt>", _insert_first
    yield r"<what>: (?:add|insert|put) <stmt> (?:at|to) the (?:start|beginning|top)", _insert_first
    yield r"(?:start|begin) <what> with <stmt>", _insert_first
    yield r"(?:put|insert|add) <stmt> first in <what>", _insert_first
    yield r"add <stmt> as the first (?:statement|line) of <what>", _insert_first
    for place, after in (("(?:before|above)", False), ("(?:after|below|under)", True)):
        yield rf"(?:add|insert|put) (?:the (?:line|import|statement) )?<stmt> (?:just |right )?{place} (?:the line )?<what>", _insert(after)
        yield rf"{place} (?:the line )?<what>,? (?:add|insert|put) (?:the (?:line|import|statement) )?<stmt>", _insert(after)
    delete = r"(?:remove|delete|drop|cut|take out|get rid of|erase)"
    yield rf"{delete} (?:this|the line|this line|the statement|the):? <what>", _remove
    yield rf"{delete} (?:the )?(?:call to|assignment (?:to|of)|line that (?:calls|sets|assigns)|line with) <what>", _remove
    yield rf"{delete} (?:the )?<what> (?:call|statement|assignment|line)", _remove
    yield rf"{delete} <what>", _remove
    yield r"(?:don't|do not|stop|no longer) (?:call|set|calling|setting) <what>", _remove
    yield r"no <what> (?:please|here)", _remove


def _rules_for_anything() -> Iterator[tuple[str, Action]]:
    """The vaguest ones, tried last."""
    change = r"(?:replace|swap|change|switch|turn|convert|migrate|update|substitute)"
    yield rf"{change} {_EVERY}<old> (?:with|by|for|to|into|->) <new>(?: everywhere)?", _replace
    yield rf"(?:switch|migrate|change|move) (?:over )?from {_EVERY}<old> to <new>", _replace
    yield rf"(?:use|call|make it|put) <new> (?:everywhere )?(?:instead of|rather than) {_EVERY}<old>(?: everywhere)?", _replace
    yield r"<new> instead of <old>", _replace
    yield r"not <old> but <new>", _replace
    yield rf"(?:change )?(?:value |{_EVERY})?<old>(?: calls?| everywhere)? (?:->|=>|should be|must be) <new>(?: everywhere)?", _replace


def _compile(wording: str) -> re.Pattern[str]:
    """A slot that occurs in two alternatives has a group in each, numbered."""
    number = itertools.count()
    return re.compile(re.sub(r"<(\w*)>", lambda slot: f"(?P<{slot[1]}_{next(number)}>.+?)" if slot[1] else ".+?", wording), re.IGNORECASE)


RULES = [Rule(_compile(wording), action) for wording, action in (*_rules(), *_function_rules(), *_rules_for_anything())]
_COURTESY = re.compile(r"(?:please|pls|can you|could you|would you|kindly|just)\s+", re.IGNORECASE)


def codemod(instruction: str, region: str) -> str:
    """The region with the instruction done to it, or as it is where no rule applies."""
    text = instruction.strip()
    while match := _COURTESY.match(text):
        text = text[match.end() :]
    wordings = list(dict.fromkeys((text, text.removesuffix("."), text.removesuffix(" please"))))
    for rule in RULES:
        for wording in wordings:
            match = rule.pattern.fullmatch(wording)
            if match:
                slots = {name.rpartition("_")[0]: value.strip() for name, value in match.groupdict().items() if value is not None}
                found = rule.action(region, slots)
                if found is not None and found != region:
                    return found
    return region
