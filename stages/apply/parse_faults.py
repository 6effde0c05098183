"""The words for what the library finds wrong with a patch."""

from __future__ import annotations

from typing import Any

from cromwell.apply.errors import PatchError, Refused
from cromwell.contract.errors import CommandError

_DAMAGED = "the patch is damaged or was edited by hand; make it again"
_CUT = "the patch was cut short; make it again"

_FIELDS = ("old mode", "new mode", "deleted file mode", "new file mode", "copy from", "copy to", "rename from", "rename to",
           "similarity index", "dissimilarity index", "index")
_MOVES = ("rename", "copy")

# By the end of the name of cw_patch_fault_kind; {} is its number in words.
_WHAT = {
    "MANY_FILES": "more than {} files",
    "HUNK_ALONE": "a hunk without a file header",
    "COMBINED": "a combined diff of a merge",
    "CONTEXT_DIFF": "a context diff",
    "BINARY_ALONE": "a binary file's difference",
    "BOTH_ABSENT": "both names are /dev/null",
    "ESCAPE": "unknown escape \\{} in a quoted name",
    "NO_NAME": "no file name",
    "NO_NEW_NAME": "no +++ line after the --- line",
    "CONTRADICTION": "header lines contradict one another",
    "ABSENT_UNCLEAR": "the names and the header lines disagree about a missing file",
    "INDEX": "malformed index line",
    "NO_CHANGE": "a file header without hunks or a change of mode",
    "BINARY_KIND": "neither `literal` nor `delta` in a binary patch",
    "BINARY_LINE": "malformed line of a binary patch",
    "BASE85_DIGIT": "bad base85 character at position {}",
    "BASE85_OVERFLOW": "base85 overflow in hunk starting at byte {}",
    "BINARY_CUT": "the patch ends within a binary patch",
    "FIELD_TWICE": "a second `{}` line for one file",
    "MODE_ALONE": "one of `old mode` and `new mode` without the other",
    "MODE": "malformed file mode",
    "MOVE_HALF": "`{0} from` and `{0} to` do not come together",
    "MOVE_BOTH": "both renamed and copied",
    "MOVE_NAMES": "the names on the --- and +++ lines are not those of the {}",
    "NAMES_UNCLEAR": "cannot tell the file's name",
    "NAMES_DIFFER": "the names on the --- and +++ lines are not those of the header",
    "QUOTE_TAIL": "text after a quoted name",
    "OVERLAP": "hunk {} overlaps the one before or is out of order",
    "NEW_HAS_OLD": "a new file with old lines",
    "DELETED_HAS_NEW": "a deleted file with lines left",
    "ABSENT_HUNKS": "a new or deleted file in several hunks",
    "NO_HUNK": "no hunk after the file names",
    "HUNK_HEADER": "malformed hunk header",
    "HUNK_NUMBERS": "impossible line numbers in a hunk header",
    "HUNK_CUT": "the patch ends within a hunk",
    "HUNK_SHORT": "a hunk has fewer lines than its header says",
    "HUNK_SUM": "a hunk's lines do not add up to its header",
    "LINE_CUT": "the patch ends within a line",
    "HUNK_IDLE": "a hunk without a change",
    "NEWLINE_INSIDE": "no newline in the middle of a file",
    "NEWLINE_EMPTY": "an empty line without newline",
    "HUNK_LONG": "a hunk has more lines than its header says",
}
_HINTS = {
    "MANY_FILES": "split the patch",
    "COMBINED": "make a diff against one parent",
    "CONTEXT_DIFF": "make a unified diff (diff -u)",
    "BINARY_ALONE": "make it with git diff --binary, or take it out of the patch",
    "BINARY_CUT": _CUT, "HUNK_CUT": _CUT, "LINE_CUT": _CUT,
}
_UNSUPPORTED = ("COMBINED", "CONTEXT_DIFF", "BINARY_ALONE")


def fault_error(lib: Any, source: str, kind: int, line: int, number: int) -> CommandError:
    """The error for a cw_patch_fault of the patch named `source`: Refused for what is well-formed but not supported, else PatchError."""
    name = next(name for name in _WHAT if getattr(lib, f"CW_PATCH_{name}") == kind)
    shown = {"MANY_FILES": str(lib.CW_PATCH_FILES_MAX), "ESCAPE": chr(number & 0xFF), "FIELD_TWICE": _FIELDS[number % len(_FIELDS)],
             "MOVE_HALF": _MOVES[number & 1], "MOVE_NAMES": _MOVES[number & 1]}.get(name, str(number))
    what = f"{source}: line {line + 1}: {_WHAT[name].format(shown)}"
    return Refused(what, _HINTS[name]) if name in _UNSUPPORTED else PatchError(what, _HINTS.get(name, _DAMAGED))
