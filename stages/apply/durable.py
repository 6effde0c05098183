"""Makes files and folders of the tree durable: many fsyncs at once, since a disk does a hundred together in the time of a few."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable

from cromwell.apply.errors import Refused
from cromwell.apply.paths import show
from cromwell.apply.signals import unstoppable
from cromwell.apply.tree import Tree

# 1,000 new files on ext4: 6.0 s one after another, 0.80 s in 8 threads, 0.16 s in 32; syncfs took 0.09 s, but waits for all data of
# other programs, too.
MAX_THREADS = 32
_ALONE = 8  # so few are not worth threads


def sync_files(tree: Tree, paths: Iterable[bytes]) -> None:
    """Returns when the contents of all these files are on disk. OSError; Refused when one vanished."""
    _sync(tree, [(path, False) for path in paths])


def sync_folders(tree: Tree, paths: Iterable[bytes]) -> None:
    """Returns when the names in all these folders are on disk; "" is the root. A folder that is gone has nothing to lose."""
    _sync(tree, [(path, True) for path in paths])


def _sync(tree: Tree, work: list[tuple[bytes, bool]]) -> None:
    if len(work) <= _ALONE:
        for path, is_folder in work:
            _sync_one(tree, path, is_folder)
        return
    from threading import Thread

    queue, errors = deque(work), []

    def run() -> None:
        while not errors:
            try:
                item = queue.popleft()
            except IndexError:
                return
            try:
                _sync_one(tree, *item)
            except BaseException as error:
                errors.append(error)

    with unstoppable():  # a signal waits until no thread is left that works on the tree
        threads = [Thread(target=run) for _ in range(min(MAX_THREADS, len(work)))]
        started = []
        try:
            for thread in threads:
                thread.start()
                started.append(thread)
        except RuntimeError:  # no more threads allowed: those there are, and this one, do it
            run()
        for thread in started:
            thread.join()
    if errors:
        raise errors[0]


def _sync_one(tree: Tree, path: bytes, is_folder: bool) -> None:
    if not path:
        os.fsync(tree.fd)
        return
    fd = tree.open_folder(path) if is_folder else tree.open_file(path)
    if fd is None:
        if is_folder:
            return
        raise Refused(f"{show(path)}: vanished meanwhile, by another program", "run again")
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
