"""The files of a tree and what stands in them: names, definitions, imports, words (docs/context.md)."""

from __future__ import annotations

from cromwell.prepare.index.kinds import ChangedError, Def, File
from cromwell.prepare.index.open import open_index
from cromwell.prepare.index.view import BM25_B, BM25_K1, Index

__all__ = ["BM25_B", "BM25_K1", "ChangedError", "Def", "File", "Index", "open_index", "text_terms"]


def text_terms(text: str) -> list[str]:
    """The terms of a text in order, in lower case, as files are searched for them: words, and the parts of identifiers."""
    import os

    from cromwell.binding.index import text_terms as terms

    return [os.fsdecode(term) for term in terms(os.fsencode(text))]
