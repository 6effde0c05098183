"""cw-apply: applies an edit or a patch to the files of a folder, all of it or none (docs/apply.md)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import click

from cromwell.contract import cli
from cromwell.contract import settings as table
from cromwell.contract.errors import CommandError

if TYPE_CHECKING:
    from cromwell.apply.check import Checker
    from cromwell.apply.journal import State
    from cromwell.apply.patching import HunkReport
    from cromwell.apply.plan import Plan, Report
    from cromwell.apply.tree import Tree
    from cromwell.contract.settings import Settings

EXAMPLES = [
    ("cw-context app.py:10-30 -m 'use pathlib' | cw-generate | cw-apply", "edit app.py"),
    ("cw-apply --check 'pytest -q' edit.cwa", "apply an edit, and take it back unless the tests pass"),
    ("git diff v1 v2 | cw-apply --root copy --dry-run", "see whether a patch would apply to the files in copy"),
    ("cw-apply --undo", "take the last patch back"),
]
NEWEST = "newest"
_alone = False  # whether this process does nothing but this command, so that it may give up rights for good


class Source(NamedTuple):
    """What was given: diff text, the name for errors, and the lineage of an artifact with its content hash."""

    text: bytes
    name: str
    lineage: list[dict[str, Any]]
    digest: str


@cli.command("cw-apply", examples=EXAMPLES)
@click.argument("patch", default="-", metavar="[EDIT | DIFF]")
@click.option("--root", default=".", show_default=True, metavar="DIR",
              help="folder that the patch's paths start from; nothing outside it is touched")
@click.option("--dry-run", is_flag=True, help="check everything, change nothing")
@click.option("-R", "--reverse", is_flag=True, help="undo the patch instead")
@click.option("--check", "command", default=None, metavar="CMD", help="run CMD in DIR with sh; if it fails, put everything back and exit 5")
@click.option("-p", "--strip", type=click.IntRange(0, 255), default=None, metavar="N",
              help="leading parts to take off names  [default: by the names]")
@click.option("-n", "--candidate", type=click.IntRange(0), default=None, metavar="K",
              help="candidate K of an edit, from 0, instead of the best")
@click.option("--ignore-hashes", is_flag=True, help="go by the lines around each change, even where the patch names another version")
@click.option("-3", "--3way", "three_way", is_flag=True,
              help="merge into a file that has changed, where the version that the patch names is in git or can be undone")
@click.option("--conflict-markers", "markers", is_flag=True, help="with --3way: write conflicts into the file, and exit 3")
@click.option("--ignore-whitespace", "whitespace", is_flag=True, help="find the lines around each change though white space differs")
@click.option("-F", "--fuzz", type=click.IntRange(0, 99), default=0, show_default=True, metavar="N",
              help="outer context lines of each change that may be left out")
@click.option("--binary", is_flag=True, help="apply git's binary patches, too")
@click.option("--symlinks", is_flag=True, help="make, change, move and delete symbolic links, too, as the patch says")
@click.option("--reject", is_flag=True, help="apply what fits, write the rest to .rej files, and exit 3")
@click.option("--include", multiple=True, metavar="GLOB", help="apply only to files that match; may be repeated")
@click.option("--exclude", multiple=True, metavar="GLOB", help="leave out files that match; may be repeated")
@click.option("--json", "as_json", is_flag=True, help="print what was done as JSON")
@click.option("--receipt", default=None, metavar="FILE", help="write a receipt artifact to FILE")
@click.option("--recover", is_flag=True, help="only put back what an interrupted cw-apply left in DIR")
@click.option("--undo", "undo", is_flag=False, flag_value=NEWEST, default=None, metavar="[ID]",
              help="take back patch ID of the log, by default the newest that is not taken back")
@click.option("--log", "log", is_flag=True, help="list the patches that can be taken back, newest first")
@table.options()
def app(patch: str, root: str, dry_run: bool, reverse: bool, command: str | None, strip: int | None, candidate: int | None,
        as_json: bool, receipt: str | None, recover: bool, undo: str | None, log: bool, settings: Settings, **matching: Any) -> None:
    """Applies an edit artifact, a diff artifact or a unified diff from anywhere (standard input by default) to the files in DIR.

    All files change, or none does; a run that is cut off is taken back by the next one. Where a diff names the versions of files
    (git's index lines, which cw-diff writes), exactly those versions are patched."""
    from cromwell.apply.signals import Stopped
    from cromwell.apply.tree import Tree

    number = _undo_number(undo)
    if dry_run and (command or receipt or recover):
        raise click.UsageError("--dry-run goes with none of --check, --receipt and --recover")
    if receipt == "-" and as_json:
        raise click.UsageError("--receipt - and --json would both go to standard output")
    if matching["markers"] and not matching["three_way"]:
        raise click.UsageError("--conflict-markers goes with --3way")
    if sum((recover, undo is not None, log)) > 1 or patch != "-" and (recover or undo is not None or log):
        raise click.UsageError("a patch, --undo, --log and --recover: one at a time")
    checker = _checker(root, command)
    tree = Tree(root)
    try:
        if log:
            return _print_log(tree, as_json)
        state = _prepare(tree, dry_run, receipt, matching["symlinks"], undo is not None)
        source = None if recover or undo is not None else _source(patch, candidate)
        _settle(tree, state, dry_run, recover)
        if recover:
            return
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
    except Stopped as stopped:
        click.get_current_context().exit(128 + stopped.number)
    finally:
        tree.close()
        if checker is not None:
            checker.close()


def _prepare(tree: Tree, dry_run: bool, receipt: str | None, links: bool, undo: bool) -> State:
    """The folder for journals; and from here on this process, where it is this command's own, cannot write anywhere but there, below the
    root, and for the receipt; nor make symbolic links, but for `links` or to take a patch with links back."""
    # What is loaded later cannot leave its bytecode.
    from cromwell.apply import commit, landlock, parse, paths, plan, undo, unified  # noqa: F401
    from cromwell.apply.journal import State

    state = State(tree)
    if not dry_run:
        state.make()
    if not _alone:
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
            cli.detail("this kernel cannot confine the process (Landlock); paths are checked all the same")
    finally:
        for fd in opened:
            os.close(fd)
    return state


def _receipt_rights(receipt: str | None) -> list[tuple[str, int]]:
    """Where cli.output writes FILE of --receipt: beside it, or into what is no regular file."""
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
    from cromwell.apply import unified
    from cromwell.apply.edit import versions
    from cromwell.apply.parse import MAX_PATCH_BYTES
    from cromwell.contract import artifact

    name = "standard input" if patch == "-" else patch
    with cli.open_input(patch) as stream:
        first = _peek(stream)
        if not artifact.is_artifact(first):
            if candidate is not None:
                raise click.UsageError("--candidate goes with an edit, not with a diff")
            return Source(stream.read(MAX_PATCH_BYTES + 1), name, [], "")
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
        cli.message(f"took back an interrupted cw-apply: {count} file{'s' * (count != 1)} as before")
    elif asked:
        cli.message("nothing to recover")


def _undo_number(text: str | None) -> int | None:
    """The number given with --undo, None for the newest."""
    if text in (None, NEWEST):
        return None
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:20]) < 10**18:
        raise click.UsageError(f"--undo {text}: is no number of the log, which cw-apply --log prints")
    return int(text)


def _undoing(tree: Tree, state: State, number: int | None) -> tuple[Source, list[Report], list[Any], dict[str, Any]]:
    """The steps that take a patch back, and what commit.Work holds of them."""
    from cromwell.apply import undo

    undoing = undo.plan(tree, state, number)
    cli.detail(f"takes back patch {undoing.number}: {undoing.journal.source}")
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
    chosen = [(file, target) for file, target in zip(files, targets, strict=True) if paths.is_chosen(target, include, exclude)]
    planned.apply([file for file, _target in chosen], [target for _file, target in chosen])
    return planned


def _checker(root: str, command: str | None) -> Checker | None:
    """What runs --check, before anything is opened that it should not have."""
    if command is None or not os.path.isdir(root):  # Tree says what is wrong with the root
        return None
    from cromwell.apply.check import Checker

    return Checker(os.path.realpath(root), command)


# ---- What was done ----------------------------------------------------------------------------------------------------------


def _tell(reports: list[Report], dry_run: bool) -> None:
    if not reports:
        cli.message("nothing to change")
    for report in reports:
        notes = [f"hunk {number} {note}" for number, hunk in enumerate(report.hunks, 1) if (note := _how(hunk))]
        notes = ["symbolic link"] * report.link + notes
        note = f" ({', '.join(notes)})" if notes else ""
        would = "would be " if dry_run and report.status != "already applied" else ""
        cli.message(f"{os.fsdecode(report.path)!r}"[1:-1] + f": {would}{report.status}{note}")


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
        cli.message("not kept for --undo: larger than undo_size, or undo_count is 0")
    else:
        cli.detail(f"cw-apply --undo {kept} takes it back")


def _print_json(reports: list[Report], dry_run: bool, kept: int | None) -> None:
    import json

    document = {"version": 1, "dry_run": dry_run, "undo": kept, "files": [report.as_json() for report in reports]}
    with cli.output(None, binary=False) as stream:
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
    with cli.output(None, binary=False) as stream:
        text = json.dumps(document, indent=2) + "\n" if as_json else "".join(lines)
        stream.write(text.encode("utf-8", "backslashreplace"))
    if not records:
        cli.message("nothing to take back")


def _write_receipt(path: str, source: Source, reports: list[Report], arguments: dict[str, Any]) -> None:
    from cromwell.apply.blob import blob_hash
    from cromwell.contract import artifact

    inputs = {"patch": source.digest or blob_hash(source.text)}
    lineage = [*source.lineage, artifact.lineage_entry("cw-apply", arguments, inputs, None, None)]
    receipt = artifact.Artifact("receipt", {"files": [report.as_json() for report in reports]}, {}, lineage)
    with cli.output(path, binary=True) as stream:
        artifact.write(receipt, stream)


def main() -> None:
    """The command cw-apply."""
    global _alone
    _alone = True
    cli.command_main(app)


if __name__ == "__main__":
    main()
