"""What cw-apply does with its options settled: reads a patch, works it out in memory, carries it out, tells what was done.

Without click, so that a plain call need not load it (apply_start.py); the options are declared in cw_apply.py."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from cromwell.contract.errors import CommandError
from cromwell.contract.process import open_input, output, usage_error
from cromwell.contract.words import detail, is_quiet, message

if TYPE_CHECKING:
    from cromwell.apply.check import Checker
    from cromwell.apply.journal import State
    from cromwell.apply.patching import HunkReport
    from cromwell.apply.plan import Plan, Report
    from cromwell.apply.tree import Tree
    from cromwell.contract.settings import Settings

NAME = "cw-apply"
NEWEST = "newest"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # of artifacts (contract/artifact.py, which takes longer to import than most patches)
alone = False
"""Whether this process does nothing but this command, so that it may give up rights for good."""


class Source(NamedTuple):
    """What was given: diff text, the name for errors, and the lineage of an artifact with its content hash."""

    text: bytes
    name: str
    lineage: list[dict[str, Any]]
    digest: str


def run(patch: str, root: str, dry_run: bool, reverse: bool, command: str | None, strip: int | None, candidate: int | None,
        as_json: bool, receipt: str | None, recover: bool, undo: str | None, log: bool, settings: Settings, **matching: Any) -> int:
    """Does what the options ask for and returns the exit code where that is no failure's; they are those of cw_apply.app."""
    from cromwell.apply.signals import Stopped
    from cromwell.apply.tree import Tree

    number = _undo_number(undo)
    if dry_run and (command or receipt or recover):
        raise usage_error(NAME, "--dry-run goes with none of --check, --receipt and --recover")
    if receipt == "-" and as_json:
        raise usage_error(NAME, "--receipt - and --json would both go to standard output")
    if matching["markers"] and not matching["three_way"]:
        raise usage_error(NAME, "--conflict-markers goes with --3way")
    if sum((recover, undo is not None, log)) > 1 or patch != "-" and (recover or undo is not None or log):
        raise usage_error(NAME, "a patch, --undo, --log and --recover: one at a time")
    checker = _checker(root, command)
    tree = Tree(root)
    try:
        if log:
            _print_log(tree, as_json)
            return 0
        state = _prepare(tree, dry_run, receipt, matching["symlinks"], undo is not None)
        source = None if recover or undo is not None else _source(patch, candidate)
        _settle(tree, state, dry_run, recover)
        if recover:
            return 0
        extra: dict[str, Any] = {}
        planned = None
        if source is None:
            source, reports, steps, extra = _undoing(tree, state, number)
        else:
            planned = _plan(tree, state, source, reverse, strip, matching)
            reports, steps = planned.reports, planned.steps()
        kept = None
        if steps and not dry_run:
            from cromwell.apply.commit import Work, commit

            work = Work(source.name, settings.undo_count, settings.undo_size_bytes, **extra)
            kept = commit(tree, state, steps, checker, work)
        _tell(reports, dry_run)
        if steps and not dry_run:
            _tell_number(kept)
        if as_json:
            _print_json(reports, dry_run, kept)
        if receipt is not None:
            arguments = {"reverse": reverse, "strip": strip, "undo": extra.get("undoes"), **matching}
            _write_receipt(receipt, source, reports, arguments)
        if planned is not None:
            _complain(planned, dry_run)
        return 0
    except Stopped as stopped:
        return 128 + stopped.number
    finally:
        tree.close()
        if checker is not None:
            checker.close()


def _prepare(tree: Tree, dry_run: bool, receipt: str | None, links: bool, undo: bool) -> State:
    """The folder for journals; and from here on this process, where it is this command's own, cannot write anywhere but there, below the
    root, and for the receipt; nor make symbolic links, but for `links` or to take a patch with links back."""
    # What is loaded later cannot leave its bytecode.
    from cromwell.apply import commit, landlock, parse, paths, plan  # noqa: F401
    from cromwell.apply.journal import State

    state = State(tree)
    if not dry_run:
        state.make()
    if not alone:
        return state
    opened = []
    try:
        allowed = []
        kept = () if dry_run else ((state.folder, landlock.FOLDER), *_receipt_rights(receipt))
        for path, rights in ((os.devnull, landlock.FILE), *kept):  # git, for --3way, does not start without it
            opened.append(os.open(path, os.O_PATH | os.O_CLOEXEC))
            allowed.append((opened[-1], rights))
        rights = landlock.FOLDER | (landlock.LINKS if links or state.has_links(undo) else 0)
        if not landlock.restrict([*allowed, *(() if dry_run else ((tree.fd, rights),))]):
            detail("this kernel cannot confine the process (Landlock); paths are checked all the same")
    finally:
        for fd in opened:
            os.close(fd)
    return state


def _receipt_rights(receipt: str | None) -> list[tuple[str, int]]:
    """Where process.output writes FILE of --receipt: beside it, or into what is no regular file."""
    from cromwell.apply import landlock

    if receipt is None or receipt == "-":
        return []
    target = os.path.realpath(receipt)
    if os.path.exists(target) and not os.path.isfile(target):
        return [] if os.path.isdir(target) else [(target, landlock.FILE)]
    folder = os.path.dirname(target)
    return [(folder, landlock.FOLDER)] if os.path.isdir(folder) else []


def _source(patch: str, candidate: int | None) -> Source:
    """Reads the input: for an edit, the very text that cw-diff prints of it."""
    from cromwell.apply.parse import MAX_PATCH_BYTES

    name = "standard input" if patch == "-" else patch
    with open_input(patch) as stream:
        first = _peek(stream)
        if first != ZSTD_MAGIC:
            if candidate is not None:
                raise usage_error(NAME, "--candidate goes with an edit, not with a diff")
            return Source(stream.read(MAX_PATCH_BYTES + 1), name, [], "")
        from cromwell.apply import unified
        from cromwell.apply.edit import versions
        from cromwell.contract import artifact

        given = artifact.read(stream, name, {"edit", "diff"})
    digest = artifact.content_hash(given)
    if given.kind == "diff":
        return Source(given.arrays["diff"].data, name, given.lineage, digest)
    diff = unified.compare(*versions(given, name, candidate))
    return Source(unified.write(diff) if diff else b"", name, given.lineage, digest)


def _peek(stream: BinaryIO) -> bytes:
    """The first bytes of a buffered stream, left in it."""
    peek = getattr(stream, "peek", None)
    if peek is None:
        raise CommandError("standard input: cannot be read ahead")
    return peek(4)[:4]


def _settle(tree: Tree, state: State, dry_run: bool, asked: bool) -> None:
    """Takes the lock and finishes what an interrupted run left; --dry-run only looks."""
    if dry_run:
        if state.is_pending():
            raise CommandError(f"{tree.name}: an interrupted cw-apply has to be taken back first", "run cw-apply --recover", 3)
        return
    from cromwell.apply.commit import recover

    tree.lock(state.lock)
    count = recover(tree, state)
    if count is not None:
        message(f"took back an interrupted cw-apply: {count} file{'s' * (count != 1)} as before")
    elif asked:
        message("nothing to recover")


def _undo_number(text: str | None) -> int | None:
    """The number given with --undo, None for the newest."""
    if text in (None, NEWEST):
        return None
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:20]) < 10**18:
        raise usage_error(NAME, f"--undo {text}: is no number of the log, which cw-apply --log prints")
    return int(text)


def _undoing(tree: Tree, state: State, number: int | None) -> tuple[Source, list[Report], list[Any], dict[str, Any]]:
    """The steps that take a patch back, and what commit.Work holds of them."""
    from cromwell.apply import undo

    undoing = undo.plan(tree, state, number)
    detail(f"takes back patch {undoing.number}: {undoing.journal.source}")
    extra = {"undoes": undoing.number, "returning": undoing.returning, "folders": undoing.folders, "may_go": undoing.may_go}
    return Source(b"", f"undo of {undoing.number}", [], ""), undoing.reports, undoing.steps, extra


def _plan(tree: Tree, state: State, source: Source, reverse: bool, strip: int | None, matching: dict[str, Any]) -> Plan:
    """The whole patch worked out in memory."""
    from cromwell.apply import bases, match, parse, patching, paths, plan

    allowed = {name: matching[name] for name in ("ignore_hashes", "three_way", "markers", "reject", "binary", "symlinks")}
    planned = plan.Plan(tree, patching.Rules(ladder=match.Ladder(matching["whitespace"], matching["fuzz"]), **allowed),
                        bases.Bases(tree.root, state))
    if source.digest and not source.text:  # an edit or a diff without a difference
        return planned
    files = parse.parse(source.text, source.name)
    if reverse:
        files = [file.reversed() for file in reversed(files)]
    include, exclude = ([os.fsencode(glob) for glob in matching[name]] for name in ("include", "exclude"))
    targets = paths.targets(files, strip, lambda path: tree.read(path) is not None)
    if include or exclude:
        chosen = [(file, target) for file, target in zip(files, targets, strict=True) if paths.is_chosen(target, include, exclude)]
        files, targets = [file for file, _target in chosen], [target for _file, target in chosen]
    planned.apply(files, targets)
    return planned


def _checker(root: str, command: str | None) -> Checker | None:
    """What runs --check, before anything is opened that it should not have."""
    if command is None or not os.path.isdir(root):  # Tree says what is wrong with the root
        return None
    from cromwell.apply.check import Checker

    return Checker(os.path.realpath(root), command)


# ---- What was done ----------------------------------------------------------------------------------------------------------


def _tell(reports: list[Report], dry_run: bool) -> None:
    if is_quiet():
        return
    if not reports:
        message("nothing to change")
    for report in reports:
        notes = [f"hunk {number} {note}" for number, hunk in enumerate(report.hunks, 1) if (note := _how(hunk))]
        notes = ["symbolic link"] * report.link + notes
        note = f" ({', '.join(notes)})" if notes else ""
        would = "would be " if dry_run and report.status != "already applied" else ""
        message(f"{os.fsdecode(report.path)!r}"[1:-1] + f": {would}{report.status}{note}")


def _how(hunk: HunkReport) -> str:
    """What is worth telling about a hunk's place; nothing where it is the stated one."""
    notes = [f"at {hunk.offset:+d} lines"] if hunk.offset else []
    if hunk.level in ("merged", "conflict", "rejected"):
        notes.insert(0, {"conflict": "in conflict"}.get(hunk.level, hunk.level))
    if hunk.fuzz:
        notes.append(f"without {hunk.fuzz} of its outer lines")
    if hunk.whitespace:
        notes.append("but for white space")
    return " ".join(notes)


def _complain(planned: Plan, dry_run: bool) -> None:
    """CommandError (3) when hunks were set aside or conflict, though the rest is done."""
    def would(count: int) -> str:
        return "would be" if dry_run else "was" if count == 1 else "were"

    left = sum(len(hunks) for hunks in planned.rejected.values())
    if left:
        where = ", ".join(f"{os.fsdecode(path)!r}"[1:-1] + ".rej" for path in planned.rejected)
        raise CommandError(f"{left} hunk{'s' * (left > 1)} {would(left)} rejected: {where}", "put them in by hand; all the others fit", 3)
    if planned.conflicts:
        what = f"{planned.conflicts} conflict{'s' * (planned.conflicts > 1)} {would(planned.conflicts)} written into the files"
        raise CommandError(what, "look for <<<<<<< and keep one side of each", 3)


def _tell_number(kept: int | None) -> None:
    if kept is None:
        message("not kept for --undo: larger than undo_size, or undo_count is 0")
    else:
        detail(f"cw-apply --undo {kept} takes it back")


def _print_json(reports: list[Report], dry_run: bool, kept: int | None) -> None:
    import json

    document = {"version": 1, "dry_run": dry_run, "undo": kept, "files": [report.as_json() for report in reports]}
    with output(None, binary=False) as stream:
        stream.write(json.dumps(document, indent=2).encode() + b"\n")


def _print_log(tree: Tree, as_json: bool) -> None:
    """The log, one line a patch, or as JSON."""
    import json
    import time

    from cromwell.apply import undo
    from cromwell.apply.journal import State
    from cromwell.contract.words import one_line

    records = undo.log(State(tree))
    lines = []
    for record in records:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.time_s))
        names = ", ".join(path for path, _status in record.files[:3]) + ", ..." * (len(record.files) > 3)
        lines.append(f"{record.number:5}  {when}  {len(record.files):4} file{'s' if len(record.files) != 1 else ' '}  "
                     f"{one_line(record.source)}{' (taken back)' * record.undone}: {one_line(names)}\n")
    document = {"version": 1, "root": tree.root, "entries": [record.as_json() for record in records]}
    with output(None, binary=False) as stream:
        text = json.dumps(document, indent=2) + "\n" if as_json else "".join(lines)
        stream.write(text.encode("utf-8", "backslashreplace"))
    if not records:
        message("nothing to take back")


def _write_receipt(path: str, source: Source, reports: list[Report], arguments: dict[str, Any]) -> None:
    from cromwell.apply.blob import blob_hash
    from cromwell.contract import artifact

    inputs = {"patch": source.digest or blob_hash(source.text)}
    lineage = [*source.lineage, artifact.lineage_entry("cw-apply", arguments, inputs, None, None)]
    receipt = artifact.Artifact("receipt", {"files": [report.as_json() for report in reports]}, {}, lineage)
    with output(path, binary=True) as stream:
        artifact.write(receipt, stream)
