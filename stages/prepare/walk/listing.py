"""Lists the files of a tree, or those of a given list, with what tells whether they changed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from cromwell.contract.errors import CommandError
from cromwell.prepare.walk.repository import git_settings, repository_of

if TYPE_CHECKING:
    from cromwell.binding.files import Listing

THREADS = 2
"""Reading folders is mostly work of the system's, which two threads can share; more gain nothing on small machines."""


def tree_files(root: str, hidden: bool = False, threads: int = THREADS) -> Listing:
    """Every file, link and submodule below `root`, a real path. CommandError when it is no folder that can be read."""
    from cromwell import binding
    from cromwell.binding import files

    repository = repository_of(root)
    global_file, id_bytes = git_settings(repository)
    prefix = "" if root == repository.top else os.path.relpath(root, repository.top) + "/"
    git, common = repository.git_folder, repository.common_folder
    try:
        return files.walk(os.fsencode(root), os.fsencode(repository.top), os.fsencode(prefix),
                          git_index=None if git is None else os.fsencode(os.path.join(git, "index")),
                          exclude_file=None if common is None else os.fsencode(os.path.join(common, "info", "exclude")),
                          global_file=None if global_file is None else os.fsencode(global_file),
                          id_bytes=id_bytes, hidden=hidden, in_repository=git is not None, threads=threads)
    except binding.CromwellError as error:
        raise CommandError(error.text, "name a folder that can be read") from None


def given_files(root: str, names: Iterable[str]) -> Listing:
    """The files `names`, relative to `root`; CommandError for one that lies outside it."""
    from cromwell.binding import files

    wanted = set()
    for name in names:
        clean = os.path.normpath(name)
        if os.path.isabs(clean):
            clean = os.path.relpath(clean, root)
        if "\0" in clean or clean == ".." or clean.startswith("../"):
            raise CommandError(f"{name}: lies outside {root}", "name files below it")
        if name and clean != ".":
            wanted.add(os.fsencode(clean))
    return files.states(os.fsencode(root), b"".join(name + b"\0" for name in wanted))
