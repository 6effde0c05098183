"""cw-apply: applies an edit or a patch to the files of a folder, all of it or none (docs/apply.md)."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import click

from cromwell.contract import cli
from cromwell.contract.errors import CommandError

if TYPE_CHECKING:
    from cromwell.apply.patching import HunkReport
    from cromwell.apply.plan import Plan, Report
    from cromwell.apply.tree import Tree

EXAMPLES = [
    ("cw-context app.py:10-30 -m 'use pathlib' | cw-generate | cw-apply", "edit app.py"),
    ("cw-apply --check 'pytest -q' edit.cwa", "apply an edit, and take it back unless the tests pass"),
    ("git diff v1 v2 | cw-apply --root copy --dry-run", "see whether a patch would apply to the files in copy"),
]


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
              help="merge into a file that has changed, where a git repository has the version that the patch names")
@click.option("--conflict-markers", "markers", is_flag=True, help="with --3way: write conflicts into the file, and exit 3")
@click.option("--ignore-whitespace", "whitespace", is_flag=True, help="find the lines around each change though white space differs")
@click.option("-F", "--fuzz", type=click.IntRange(0, 99), default=0, show_default=True, metavar="N",
              help="outer context lines of each change that may be left out")
@click.option("--binary", is_flag=True, help="apply git's binary patches, too")
@click.option("--reject", is_flag=True, help="apply what fits, write the rest to .rej files, and exit 3")
@click.option("--include", multiple=True, metavar="GLOB", help="apply only to files that match; may be repeated")
@click.option("--exclude", multiple=True, metavar="GLOB", help="leave out files that match; may be repeated")
@click.option("--json", "as_json", is_flag=True, help="print what was done as JSON")
@click.option("--receipt", default=None, metavar="FILE", help="write a receipt artifact to FILE")
@click.option("--recover", is_flag=True, help="only put back what an interrupted cw-apply left in DIR")
def app(patch: str, root: str, dry_run: bool, reverse: bool, command: str | None, strip: int | None, candidate: int | None,
        as_json: bool, receipt: str | None, recover: bool, **matching: Any) -> None:
    """Applies an edit artifact, a diff artifact or a unified diff from anywhere (standard input by default) to the files in DIR.

    All files change, or none does; a run that is cut off is taken back by the next one. Where a diff names the versions of files
    (git's index lines, which cw-diff writes), exactly those versions are patched."""
    from cromwell.apply.commit import Stopped
    from cromwell.apply.tree import Tree

    if dry_run and (command or receipt or recover):
        raise click.UsageError("--dry-run goes with none of --check, --receipt and --recover")
    if receipt == "-" and as_json:
        raise click.UsageError("--receipt - and --json would both go to standard output")
    if matching["markers"] and not matching["three_way"]:
        raise click.UsageError("--conflict-markers goes with --3way")
    source = None if recover else _source(patch, candidate)
    tree = Tree(root)
    try:
        _settle(tree, dry_run, recover)
        if source is None:
            return
        planned = _plan(tree, source, reverse, strip, matching)
        reports, steps = planned.reports, planned.steps()
        if steps and not dry_run:
            from cromwell.apply import commit, journal

            state = journal.state_folder(tree)
            journal.make_folder(state)
            commit.commit(tree, state, steps, _checker(tree, command) if command else None)
        _tell(reports, dry_run)
        if as_json:
            _print_json(reports, dry_run)
        if receipt is not None:
            _write_receipt(receipt, source, reports, {"reverse": reverse, "strip": strip, **matching})
        _complain(planned, dry_run)
    except Stopped as stopped:
        click.get_current_context().exit(128 + stopped.number)
    finally:
        tree.close()


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


def _settle(tree: Tree, dry_run: bool, asked: bool) -> None:
    """Takes the lock and finishes what an interrupted run left; --dry-run only looks."""
    from cromwell.apply import journal

    if dry_run:
        if journal.is_pending(journal.state_folder(tree)):
            raise CommandError(f"{tree.name}: an interrupted cw-apply has to be taken back first", "run cw-apply --recover", 3)
        return
    from cromwell.apply.commit import recover

    state = journal.state_folder(tree)
    tree.lock(state)
    count = recover(tree, state)
    if count is not None:
        cli.message(f"took back an interrupted cw-apply: {count} file{'s' * (count != 1)} as before")
    elif asked:
        cli.message("nothing to recover")


def _plan(tree: Tree, source: Source, reverse: bool, strip: int | None, matching: dict[str, Any]) -> Plan:
    """The whole patch worked out in memory."""
    from cromwell.apply import match, parse, patching, paths, plan

    allowed = {name: matching[name] for name in ("ignore_hashes", "three_way", "markers", "reject", "binary")}
    planned = plan.Plan(tree, patching.Rules(ladder=match.Ladder(matching["whitespace"], matching["fuzz"]), **allowed))
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


def _checker(tree: Tree, command: str) -> Callable[[], None]:
    """A function that runs `command` in the root and raises CommandError (5) when it fails."""

    def check() -> None:
        import signal
        import subprocess

        from cromwell.apply.commit import held_back

        # Its output goes to stderr, since stdout is for --json; it gets a process group, so that all of it can be stopped.
        process = None
        try:
            with held_back():  # a signal while it starts would leave it running
                process = subprocess.Popen(["sh", "-c", command], cwd=tree.root, stdin=subprocess.DEVNULL, stdout=2, process_group=0)
            code = process.wait()
        except BaseException:
            if process is not None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            raise
        if code:
            how = f"exited with {code}" if code > 0 else f"was ended by {signal.Signals(-code).name}"
            raise CommandError(f"--check {command}: {how}", "every file was put back; without --check the patch would stay", 5)

    return check


# ---- What was done ----------------------------------------------------------------------------------------------------------


def _tell(reports: list[Report], dry_run: bool) -> None:
    if not reports:
        cli.message("nothing to change")
    for report in reports:
        notes = [f"hunk {number} {note}" for number, hunk in enumerate(report.hunks, 1) if (note := _how(hunk))]
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


def _print_json(reports: list[Report], dry_run: bool) -> None:
    import json

    document = {"version": 1, "dry_run": dry_run, "files": [report.as_json() for report in reports]}
    with cli.output(None, binary=False) as stream:
        stream.write(json.dumps(document, indent=2).encode() + b"\n")


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
    cli.command_main(app)


if __name__ == "__main__":
    main()
