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

    words: str
    code: str


_ADDS = r"(?:\badd|\bwrite|\binsert|\bmissing|\bneeds?|\bgive|\bput|\bwrap|\bprotect|\bguard|\bsurround|\bwhen|\bhas no)"
HINTS: Sequence[Hint] = (
    Hint(rf"^(?!.*{_ADDS}).*\btry\b|bare except|too broad|broad except|swallow", r"^[ \t]*(?:try:|except\b)"),
    Hint(r"\bexcept(?:ion)?\b.*\b(?:type|should|wrong|switch|catch)|\bcatch|\btoo (?:broad|wide)", r"^[ \t]*except\b"),
    Hint(rf"^(?!.*{_ADDS}).*\b(?:docstring|documentation)", r'^[ \t]*[rbuRBU]{0,2}(?:"""|\'\'\')'),
    Hint(rf"^(?!.*{_ADDS}).*\bcomments?\b(?! out)", r"^[ \t]*(?:#|//)|[ \t](?:#|//) "),
    Hint(r"\buncomment|commented", r"^[ \t]*(?:#|//)"),
    Hint(r"\bprint", r"\bprint\("),
    Hint(r"(?:\bto|\bwith|\buse|\ban?|\binto|->)\s+f-?strings?|string formatting|% formatting|missing f\b|put an? f\b|with braces",
          r"""["'][ ]?%[ ]|["']\.format\(|(?<![fFrRbBuU])"[^"\n]*\{\w[^"\n]*\}[^"\n]*"|(?<![fF])'[^'\n]*\{\w[^'\n]*\}[^'\n]*'"""),
    Hint(r"(?:\bthe|\bno|\bnot|n't use|\bfrom|\bavoid|\bwithout|\breplace)\s+(?:an?\s+|the\s+)?f-?strings?", r"""\b[rR]?[fF][rR]?["']"""),
    Hint(r"\bdecorators?\b|\bundecorate", r"^[ \t]*@\w"),
    Hint(r"\bcomprehension|\bappend", r"\.append\("),
    Hint(r"\bloops?\b", r"^[ \t]*(?:async )?(?:for|while)\b"),
    Hint(r"\benumerate|\bindex loop", r"\brange\(len\("),
    Hint(r"\bternary|conditional expression|\bif ?/ ?else\b|\belse\b", r"^[ \t]*else\b"),
    Hint(r"\bternary|conditional expression|\bone.line if", r"\S if [^\n]+ else \S"),
    Hint(r"\bsingle\b.*\bquot", r'(?<!["\w])"[^"\'\n]*"(?!")'),
    Hint(r"\bdouble\b.*\bquot", r"(?<!['\w])'[^'\"\n]*'(?!')"),
    Hint(r"\bnested ifs?|\bSIM102|\b(?:merge|join|combine)\b.*\bifs?\b", r"^([ \t]*)if\b[^\n]*:\n\1[ \t]+if\b"),
    Hint(r"\bnone\b.*\b(?:identity|check|compar|test)|\b(?:identity|compare?)\b.*\bnone\b|\bE711|is / is not|None check", r"[=!]= None\b"),
    Hint(r"[`'\"]?\b(?:is not|not in)\b[`'\"]?|\bE71[34]", r"\bnot [\w.\[\]\"']+ (?:in|is)\b"),
    Hint(r"\bempt(?:y|iness)\b|without len\b|\bno len\b", r"\blen\([^()\n]*(?:\([^()\n]*\))?\) *(?:[=!]=|>=?|<) *[01]\b"),
    Hint(r"\bin a set\b|\ba set\b|membership|test: set", r"\bin [\[(]"),
    Hint(r"\bsuper\b", r"\bsuper\("),
    Hint(r"\bbase\b.*\bobject\b|\bobject base|new.style", r"\(object\)"),
    Hint(r"\bcontext manager|\bwith(?:[ -]block|[ -]statement)|\bin a with\b|left open|\bopen/close|file handling", r"(?<!with )\bopen\("),
    Hint(r"\bimport(?:s|ed|ing)?\b", r"^[ \t]*(?:import|from)\b"),
    Hint(r"\bgenerator|temporary list", r"\b\w+\(\[|\blist\("),
    Hint(r"\bmutable default|\bearlier calls|\bis a trap", r"=[ ]?(?:\[\]|\{\}|list\(\)|dict\(\)|set\(\))[,)\n]"),
    Hint(r"\baugment|[-+*/]=|in.?place operator", r"\b([\w.]+) = \1 (?:[-+*/%|&^]|//|\*\*) |[-+*/]= "),
    Hint(r"keys\(\)|its keys", r"\.keys\(\)"),
    Hint(r"\basync\b|\bawait|\bcoroutine", r"\b(?:async|await)\b"),
    Hint(r"\bglobal\b", r"^[ \t]*global\b"),
    Hint(r"\blambda", r"\blambda\b"),
    Hint(r"\bassert", r"^[ \t]*assert\b"),
    Hint(r"\byield|\bgenerator", r"\byield\b"),
    Hint(rf"^(?!.*{_ADDS}).*\breturn", r"^[ \t]*return\b"),
    Hint(rf"^(?!.*{_ADDS}).*\braise", r"^[ \t]*raise\b"),
    Hint(r"\btodo\b|\bfixme\b", r"(?i)\b(?:todo|fixme)\b"),
    Hint(r"\bconstructor|\binitiali[sz]er", r"\bdef __init__\b|\bconstructor\("),
    Hint(r"\bregex|\bregular expression|\bpattern", r"\bre\.\w+\("),
    Hint(r"\blog(?:s|ging|ged|ger)?\b", r"\blog(?:ging|ger)?\.\w+\("),
    Hint(r"\b(?:if|condition|branch)", r"^[ \t]*(?:el)?if\b"),
)


def hinted_places(instruction: str, text: str) -> list[list[int]]:
    """For every hint of the instruction that the text has code for: the offsets of that code in `text`."""
    every = ([match.start() + len(match.group()) - len(match.group().lstrip()) for match in re.finditer(hint.code, text, re.MULTILINE)]
             for hint in HINTS if re.search(hint.words, instruction, re.IGNORECASE))
    return [places for places in every if places]
