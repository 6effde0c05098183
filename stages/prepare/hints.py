"""What an instruction says about the shape of the code it means: "take the prints out", "without try/except", "use an f-string".

Such an instruction names nothing that could be looked up. Each row pairs words of instructions with the code that they speak of; a row
whose words occur counts the lines with that code as places meant. What an instruction wants to see (a docstring to add, an f-string to
come) is no place, so rows ask for the form that is there before."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple


class Hint(NamedTuple):
    """Words of an instruction, in any case, and the code that they mean."""

    words: re.Pattern[str]
    code: re.Pattern[str]


def _hint(words: str, code: str) -> Hint:
    return Hint(re.compile(words, re.IGNORECASE), re.compile(code, re.MULTILINE))


_ADDS = r"(?:\badd|\bwrite|\binsert|\bmissing|\bneeds?|\bgive|\bput|\bwrap|\bprotect|\bguard|\bsurround|\bwhen|\bhas no)"
HINTS: Sequence[Hint] = (
    _hint(rf"^(?!.*{_ADDS}).*\btry\b|bare except|too broad|broad except|swallow", r"^[ \t]*(?:try:|except\b)"),
    _hint(r"\bexcept(?:ion)?\b.*\b(?:type|should|wrong|switch|catch)|\bcatch|\btoo (?:broad|wide)", r"^[ \t]*except\b"),
    _hint(rf"^(?!.*{_ADDS}).*\b(?:docstring|documentation)", r'^[ \t]*[rbuRBU]{0,2}(?:"""|\'\'\')'),
    _hint(rf"^(?!.*{_ADDS}).*\bcomments?\b(?! out)", r"^[ \t]*(?:#|//)|[ \t](?:#|//) "),
    _hint(r"\buncomment|commented", r"^[ \t]*(?:#|//)"),
    _hint(r"\bprint", r"\bprint\("),
    _hint(r"(?:\bto|\bwith|\buse|\ban?|\binto|->)\s+f-?strings?|string formatting|% formatting|missing f\b|put an? f\b|with braces",
          r"""["'][ ]?%[ ]|["']\.format\(|(?<![fFrRbBuU])"[^"\n]*\{\w[^"\n]*\}[^"\n]*"|(?<![fF])'[^'\n]*\{\w[^'\n]*\}[^'\n]*'"""),
    _hint(r"(?:\bthe|\bno|\bnot|n't use|\bfrom|\bavoid|\bwithout|\breplace)\s+(?:an?\s+|the\s+)?f-?strings?", r"""\b[rR]?[fF][rR]?["']"""),
    _hint(r"\bdecorators?\b|\bundecorate", r"^[ \t]*@\w"),
    _hint(r"\bcomprehension|\bappend", r"\.append\("),
    _hint(r"\bloops?\b", r"^[ \t]*(?:async )?(?:for|while)\b"),
    _hint(r"\benumerate|\bindex loop", r"\brange\(len\("),
    _hint(r"\bternary|conditional expression|\bif ?/ ?else\b|\belse\b", r"^[ \t]*else\b"),
    _hint(r"\bternary|conditional expression|\bone.line if", r"\S if [^\n]+ else \S"),
    _hint(r"\bsingle\b.*\bquot", r'(?<!["\w])"[^"\'\n]*"(?!")'),
    _hint(r"\bdouble\b.*\bquot", r"(?<!['\w])'[^'\"\n]*'(?!')"),
    _hint(r"\bnested ifs?|\bSIM102|\b(?:merge|join|combine)\b.*\bifs?\b", r"^([ \t]*)if\b[^\n]*:\n\1[ \t]+if\b"),
    _hint(r"\bnone\b.*\b(?:identity|check|compar|test)|\b(?:identity|compare?)\b.*\bnone\b|\bE711|is / is not|None check", r"[=!]= None\b"),
    _hint(r"[`'\"]?\b(?:is not|not in)\b[`'\"]?|\bE71[34]", r"\bnot [\w.\[\]\"']+ (?:in|is)\b"),
    _hint(r"\bempt(?:y|iness)\b|without len\b|\bno len\b", r"\blen\([^()\n]*(?:\([^()\n]*\))?\) *(?:[=!]=|>=?|<) *[01]\b"),
    _hint(r"\bin a set\b|\ba set\b|membership|test: set", r"\bin [\[(]"),
    _hint(r"\bsuper\b", r"\bsuper\("),
    _hint(r"\bbase\b.*\bobject\b|\bobject base|new.style", r"\(object\)"),
    _hint(r"\bcontext manager|\bwith(?:[ -]block|[ -]statement)|\bin a with\b|left open|\bopen/close|file handling", r"(?<!with )\bopen\("),
    _hint(r"\bimport(?:s|ed|ing)?\b", r"^[ \t]*(?:import|from)\b"),
    _hint(r"\bgenerator|temporary list", r"\b\w+\(\[|\blist\("),
    _hint(r"\bmutable default|\bearlier calls|\bis a trap", r"=[ ]?(?:\[\]|\{\}|list\(\)|dict\(\)|set\(\))[,)\n]"),
    _hint(r"\baugment|[-+*/]=|in.?place operator", r"\b([\w.]+) = \1 (?:[-+*/%|&^]|//|\*\*) |[-+*/]= "),
    _hint(r"keys\(\)|its keys", r"\.keys\(\)"),
    _hint(r"\basync\b|\bawait|\bcoroutine", r"\b(?:async|await)\b"),
    _hint(r"\bglobal\b", r"^[ \t]*global\b"),
    _hint(r"\blambda", r"\blambda\b"),
    _hint(r"\bassert", r"^[ \t]*assert\b"),
    _hint(r"\byield|\bgenerator", r"\byield\b"),
    _hint(rf"^(?!.*{_ADDS}).*\breturn", r"^[ \t]*return\b"),
    _hint(rf"^(?!.*{_ADDS}).*\braise", r"^[ \t]*raise\b"),
    _hint(r"\btodo\b|\bfixme\b", r"(?i)\b(?:todo|fixme)\b"),
    _hint(r"\bconstructor|\binitiali[sz]er", r"\bdef __init__\b|\bconstructor\("),
    _hint(r"\bregex|\bregular expression|\bpattern", r"\bre\.\w+\("),
    _hint(r"\blog(?:s|ging|ged|ger)?\b", r"\blog(?:ging|ger)?\.\w+\("),
    _hint(r"\b(?:if|condition|branch)", r"^[ \t]*(?:el)?if\b"),
)


def hinted_places(instruction: str, text: str) -> list[list[int]]:
    """For every hint of the instruction that the text has code for: the offsets of that code in `text`."""
    every = ([match.start() + len(match.group()) - len(match.group().lstrip()) for match in hint.code.finditer(text)]
             for hint in HINTS if hint.words.search(instruction))
    return [places for places in every if places]
