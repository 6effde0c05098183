"""Opens the index of a tree: lists its files, brings what is kept up to them, and gives a view of that state."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cromwell.contract.errors import CommandError
from cromwell.contract.settings import Settings
from cromwell.contract.words import detail
from cromwell.prepare.index.catalog import Catalog
from cromwell.prepare.index.kinds import DamagedError
from cromwell.prepare.index.refresh import Work, refresh
from cromwell.prepare.index.store import FOLDER, Store, discard, make_room, write_lock
from cromwell.prepare.index.view import Index
from cromwell.prepare.walk import given_files, tree_files

if TYPE_CHECKING:
    from cromwell.binding import Tokenizer
    from cromwell.binding.files import Listing

MOST_THREADS = 8
"""That read files; what they find is put together by one."""
_ATTEMPTS = 4
_TOUCH_SECONDS = 60


def open_index(root: str, settings: Settings, *, names: Sequence[str] | None = None, hidden: bool = False) -> Index:
    """The index of the tree at `root`, or of the files `names` (relative to it) alone, as they are now.

    With `hidden` names that begin with a dot count, too. CommandError when the folder or the model cannot be read."""
    real = os.path.realpath(root)
    if not os.path.isdir(real):
        raise CommandError(f"{root}: {'not a folder' if os.path.exists(real) else 'no such folder'}", "name a folder that exists")
    from cromwell.contract.engine import open_model

    listing = tree_files(real, hidden) if names is None else given_files(real, names)

    def opened(how: Callable[[_Opener], tuple[Store, Catalog]]) -> tuple[Store, Catalog]:
        with open_model(settings) as model:
            return how(_Opener(real, settings, listing, model.tokenizer, hidden, names is not None))

    store, catalog = opened(_Opener.open)
    return Index(real, store, catalog, listing.unreadable, lambda: opened(_Opener.anew))


class _Opener:
    """How to come by a store with the state of one listing."""

    def __init__(self, root: str, settings: Settings, listing: Listing, tokenizer: Tokenizer, hidden: bool, given: bool):
        from cromwell.binding.index import tokenizer_fingerprint
        from cromwell.contract.cache import content_key

        self._root, self._listing, self._tokenizer = root, listing, tokenizer
        self._settings = settings
        self._threads = settings.threads or min(len(os.sched_getaffinity(0)), MOST_THREADS)
        self._path = None
        if settings.cache:
            fingerprint = tokenizer_fingerprint(tokenizer)
            # A list of files has an index of its own, by the list: it would drive out that of the tree.
            key = content_key(root, fingerprint, int(hidden), listing.names if given else b"")
            self._path = os.path.join(settings.cache_dir, FOLDER, f"{key[:40]}.db")

    def open(self) -> tuple[Store, Catalog]:
        """From the cache where that can be, else in memory."""
        if self._path is None:
            return self._memory()
        for _attempt in range(_ATTEMPTS):
            try:
                found = self._read()
                if found is None:
                    found = self._create() if not os.path.exists(self._path) else self._update()
                if found is not None:
                    return found
            except (sqlite3.DatabaseError, DamagedError) as error:
                if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                    break
                detail(f"index: {self._path} thrown away: {error}")
                with write_lock(self._path) as held:
                    if not held:
                        break
                    discard(self._path)
            except OSError as error:
                detail(f"index: kept in memory, {self._path}: {error.strerror}")
                break
        return self._memory()

    def anew(self) -> tuple[Store, Catalog]:
        """After damage that was found late: without what is kept, in memory; the next run finds nothing and keeps it again."""
        if self._path is not None:
            detail(f"index: {self._path} thrown away: damaged")
            discard(self._path)
        return self._memory()

    def _memory(self) -> tuple[Store, Catalog]:
        store = Store.in_memory()
        with store.transaction("IMMEDIATE"):
            catalog = refresh(store, os.fsencode(self._root), Work(None, self._listing), self._tokenizer, self._threads)
        return store, catalog

    def _read(self) -> tuple[Store, Catalog] | None:
        """The state of the listing when it is kept already."""
        assert self._path is not None
        store = Store.open(self._path)
        if store is None:
            return None
        done = False
        try:
            store.database.execute("BEGIN")  # one state from here on
            catalog = store.catalog()
            if catalog is not None and Work(catalog, self._listing).is_clean:
                _touch(self._path)
                done = True
                return store, catalog
            return None
        finally:
            if not done:
                store.close()

    def _create(self) -> tuple[Store, Catalog] | None:
        """A new database; None when another process made one meanwhile."""
        assert self._path is not None
        folder = os.path.dirname(self._path)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with write_lock(self._path) as held:
            if not held:
                raise OSError(11, "another process is at it")
            if os.path.exists(self._path):
                return None
            store = Store.create(self._path)
            try:
                with store.transaction("IMMEDIATE"):
                    catalog = refresh(store, os.fsencode(self._root), Work(None, self._listing), self._tokenizer, self._threads)
                made = str(store.path)
                store = store.settle(self._path)
            except BaseException:
                store.close()
                discard(made if "made" in locals() else str(store.path))
                raise
        make_room(folder, self._settings.cache_size_bytes // 2, self._path)
        return self._reading(store), catalog

    def _update(self) -> tuple[Store, Catalog] | None:
        """The kept state brought up to the listing; None when there is none any more, or it is one of no use."""
        assert self._path is not None
        if not os.access(os.path.dirname(self._path), os.W_OK) or not os.access(self._path, os.W_OK):
            raise OSError(13, "read-only")
        with write_lock(self._path) as held:
            store = Store.open(self._path) if held else None
            if store is None:
                if not held:
                    raise OSError(11, "another process is at it")
                return None
            try:
                with store.transaction("IMMEDIATE"):
                    old = store.catalog()
                    if old is None:
                        raise DamagedError("no table of files")
                    catalog = refresh(store, os.fsencode(self._root), Work(old, self._listing), self._tokenizer, self._threads)
            except BaseException:
                store.close()
                raise
        _touch(self._path)
        return self._reading(store), catalog

    @staticmethod
    def _reading(store: Store) -> Store:
        store.database.execute("BEGIN")
        store.version()  # a read transaction begins with its first read
        return store


def _touch(path: str) -> None:
    """Notes that a database was used, at most once a minute."""
    import time

    try:
        if os.stat(path).st_mtime < time.time() - _TOUCH_SECONDS:
            os.utime(path)
    except OSError:
        pass
