"""Takes a patch back without git: from the entry that its journal became when it was applied."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from cromwell.apply import journal as journals
from cromwell.apply.blob import blob_hash
from cromwell.apply.errors import Refused
from cromwell.apply.journal import Entry, Folder, Journal, State
from cromwell.apply.paths import show
from cromwell.apply.plan import Content, Report, Step
from cromwell.apply.tree import File, Tree

SHOWN = 5
"""The most files that a refusal names."""


class Record(NamedTuple):
    """One line of the log: a patch that was applied to this root and can be taken back."""

    number: int
    time_s: int
    source: str
    undoes: int | None
    undone: bool
    files: list[tuple[str, str]]  # path, what was done
    size_bytes: int

    def as_json(self) -> dict[str, Any]:
        """For --json."""
        files = [{"path": path, "status": status} for path, status in self.files]
        return {"id": self.number, "time_s": self.time_s, "source": self.source, "undoes": self.undoes, "undone": self.undone,
                "files": files, "size_bytes": self.size_bytes}


class Undoing(NamedTuple):
    """What is to be done: the steps, what to report of them, and what the entry knows beyond them."""

    number: int
    journal: Journal
    reports: list[Report]
    steps: list[Step]

    @property
    def returning(self) -> dict[bytes, Entry]:
        """The files that were deleted and come back, with their attributes."""
        return {entry.path: entry for entry in self.journal.entries if entry.old is not None}

    @property
    def folders(self) -> dict[bytes, Folder]:
        """The folders that come back, with their attributes."""
        return {folder.path: folder for folder in self.journal.emptied}

    @property
    def may_go(self) -> list[bytes]:
        """The folders that the patch had made."""
        return [folder.path for folder in self.journal.made]


def log(state: State) -> list[Record]:
    """The patches of this root that can be taken back, newest first."""
    records: list[Record] = []
    undone: set[int] = set()
    for number in reversed(state.undo_numbers()):
        path = state.undo_path(number)
        header = journals.read_header(path)
        if header is None:
            continue
        undoes = header["undoes"]
        if undoes is not None and number not in undone:
            undone.add(undoes)
        files = [(field["path"], _status(field)) for field in header["entries"]]
        records.append(Record(number, header["time_s"], header["source"], undoes, number in undone, files, os.stat(path).st_size))
    return records


def _status(field: dict[str, Any]) -> str:
    if field["size"] is None:
        return "created"
    return "deleted" if field["new_blob"] is None else "changed"


def plan(tree: Tree, state: State, number: int | None) -> Undoing:
    """What takes back patch `number`, by default the newest that is not taken back yet.

    Refused when there is none, and when a file that it touched is no longer as it left it; nothing is written."""
    if number is None:
        newest = next((record for record in log(state) if record.undoes is None and not record.undone), None)
        if newest is None:
            raise Refused(f"{tree.name}: no patch to take back", "cw-apply --log lists what can be taken back, by number")
        number = newest.number
    hint = "remove the file; git or a backup may have what it held"
    journal = journals.read(state.undo_path(number), hint, "take it back with that version")
    if journal is None:
        raise Refused(f"{tree.name}: no patch {number} to take back", "cw-apply --log lists what can be taken back, by number")
    steps, reports, edited = [], [], []
    for entry in journal.entries:
        try:
            there = tree.read(entry.path, links=entry.links)
        except Refused as refusal:
            edited.append(refusal.where_and_what)
            continue
        change = _difference(entry, there)
        if change:
            edited.append(f"{show(entry.path)}: {change}")
            continue
        back = None if entry.old is None else Content.of(entry.old, entry.mode, entry.link)
        steps.append(Step(entry.path, there, back))
        status = "removed" if back is None else "restored"
        reports.append(Report(entry.path, status, entry.new_blob, None if back is None else blob_hash(back.data), [],
                              entry.new_link if back is None else entry.link))
    if edited:
        more = f"; and {len(edited) - SHOWN} more" if len(edited) > SHOWN else ""
        raise Refused("; ".join(edited[:SHOWN]) + more, f"patch {number} is taken back only where files are as it left them")
    return Undoing(number, journal, reports, steps)


def _difference(entry: Entry, there: File | None) -> str:
    """How a file differs from what the patch left, in words; nothing when it does not."""
    if there is None:
        return "" if entry.new_blob is None else "is gone"
    if entry.new_blob is None:
        return "was made again"
    if there.link != entry.new_link:
        return f"is {'a symbolic link' if there.link else 'a file'} now"
    if blob_hash(there.data) != entry.new_blob:
        return "points elsewhere now" if there.link else "was edited since"
    if there.link:
        return ""
    kept_group = entry.old is None or there.status.st_gid == entry.owner[1]
    if entry.new_mode is not None and (there.mode ^ entry.new_mode) & (0o777 if kept_group else 0o707):
        return f"has mode {there.mode:o} instead of {entry.new_mode:o}"
    return ""
