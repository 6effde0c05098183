"""The files of a tree and what stands in them: names, definitions, imports, words (docs/context.md)."""

from __future__ import annotations

from cromwell.prepare.index.view import BM25_B, BM25_K1, ChangedError, Def, File, Index, open_index

__all__ = ["BM25_B", "BM25_K1", "ChangedError", "Def", "File", "Index", "open_index"]
