"""Syntax trees by file name: which grammar reads which suffix, loaded only when one is asked for.

Only the Python grammar comes with Cromwell; the others are used where their wheels are installed. A language without a grammar has no
tree, and whoever asked does without."""

from __future__ import annotations

import functools
import importlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

GRAMMARS = {
    **dict.fromkeys((".py", ".pyi", ".pyw"), "tree_sitter_python"),
    **dict.fromkeys((".js", ".mjs", ".cjs", ".jsx"), "tree_sitter_javascript"),
    **dict.fromkeys((".c", ".h"), "tree_sitter_c"),
    **dict.fromkeys((".cc", ".cpp", ".cxx", ".hpp", ".hh"), "tree_sitter_cpp"),
    ".go": "tree_sitter_go",
    ".java": "tree_sitter_java",
    ".json": "tree_sitter_json",
    ".rs": "tree_sitter_rust",
}


@functools.cache
def _parser(grammar: str) -> Parser | None:
    try:
        language = importlib.import_module(grammar).language()
    except ImportError:
        return None
    from tree_sitter import Language, Parser

    return Parser(Language(language))


def is_python(path: str) -> bool:
    """Whether a file of this name holds Python."""
    return GRAMMARS.get(os.path.splitext(path)[1].lower()) == "tree_sitter_python"


def syntax_tree(path: str, source: bytes) -> Node | None:
    """Root of the tree of `source` (UTF-8, LF line ends, so that rows are lines); None without a grammar for this suffix."""
    grammar = GRAMMARS.get(os.path.splitext(path)[1].lower())
    parser = _parser(grammar) if grammar else None
    return parser.parse(source).root_node if parser else None
