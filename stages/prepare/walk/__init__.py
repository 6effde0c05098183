"""Which files a tree has: what git would list, less what the user's own ignore files leave out (docs/context.md)."""

from __future__ import annotations

from cromwell.prepare.walk.listing import given_files, tree_files

__all__ = ["given_files", "tree_files"]
