"""cw-diff: shows an edit, or the difference of two files or folders, as a git-format unified diff (docs/diff.md)."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from typing import Any, BinaryIO, NamedTuple

import click

from cromwell.contract import cli
from cromwell.contract.errors import CommandError

EXAMPLES = [
    ("cw-context app.py:10-30 -m 'use pathlib' | cw-generate | cw-diff", "show the edit that cw-apply would apply"),
    ("cw-diff old.py new.py | cw-apply --root elsewhere", "carry the difference of two files over"),
    ("cw-diff --stat release-1 release-2", "what changed between two folders, renames found"),
    ("cw-diff --exit-code old.py new.py > changes.diff", "exit 1 if they differ"),
]


class Options(NamedTuple):
    """How to compare: for every file and for folders."""

    context: int
    algorithm: str
    binary: str  # as unified.compare takes it
    threshold: int | None  # similarity in percent from which a file is a rename; None: none is
    copies: bool


class Percent(click.IntRange):
    """A number from 1 to 100; a percent sign may follow it."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int:
        return super().convert(value.removesuffix("%") if isinstance(value, str) else value, parameter, context)


@cli.command("cw-diff", examples=EXAMPLES)
@click.argument("paths", nargs=-1, metavar="[EDIT | OLD NEW]")
@click.option("-U", "--unified", "context", type=click.IntRange(0, 1 << 20), default=3, show_default=True, metavar="N",
              help="lines of context")
@click.option("--algorithm", type=click.Choice(["histogram", "patience", "myers", "minimal"]), default="histogram", show_default=True,
              help="how changed lines are found; minimal may take long")
@click.option("-M", "--find-renames", "threshold", type=Percent(1, 100), default=50, show_default=True, metavar="PERCENT",
              help="similarity from which a file is a rename")
@click.option("--no-renames", is_flag=True, help="show renames as a deletion and a new file")
@click.option("-C", "--find-copies", "copies", is_flag=True, help="also find copies of files that changed or went")
@click.option("-n", "--candidate", type=click.IntRange(0), default=None, metavar="K",
              help="candidate K of the edit, from 0, instead of the best")
@click.option("--path", default=None, metavar="NAME", help="name of the file in the diff of OLD and NEW")
@click.option("-a", "--text", is_flag=True, help="compare the lines of files that look binary, too")
@click.option("--binary", is_flag=True, help="write git binary patches for files that look binary")
@click.option("--exit-code", is_flag=True, help="exit 1 when there is a difference")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True,
              help="colours, with changed words marked; auto: on a terminal")
@click.option("--stat", "form", flag_value="stat", help="print lines added and removed instead of the diff")
@click.option("--json", "form", flag_value="json", help="print a JSON description instead of the diff")
@click.option("--artifact", "form", flag_value="artifact", help="write a diff artifact, which carries the lineage on")
@cli.output_option
def app(paths: tuple[str, ...], context: int, algorithm: str, threshold: int, no_renames: bool, copies: bool, candidate: int | None,
        path: str | None, text: bool, binary: bool, exit_code: bool, color: str, form: str | None, output: str | None) -> None:
    """Shows what an edit artifact would change (from EDIT, or standard input), or what turns the file or folder OLD into NEW.

    The text is what git diff --full-index --histogram prints, and what cw-apply applies. /dev/null stands for what is not there,
    - for standard input."""
    from cromwell.apply import unified

    if len(paths) > 2:
        raise click.UsageError(f"{len(paths)} files given, not one edit or two files")
    if text and binary:
        raise click.UsageError("--text and --binary exclude each other")
    if copies and no_renames:
        raise click.UsageError("--find-copies and --no-renames exclude each other")
    options = Options(context, algorithm, "text" if text else "patch" if binary else "note", None if no_renames else threshold, copies)
    lineage: list[dict[str, Any]] = []
    if len(paths) == 2:
        if candidate is not None:
            raise click.UsageError("--candidate goes with an edit, not with two files")
        diffs = _folders(*paths, path, options) if any(map(os.path.isdir, paths)) else _files(*paths, path, options)
    else:
        if path is not None or text or binary:
            raise click.UsageError("--path, --text and --binary go with two files, not with an edit")
        diffs, lineage = _edit(paths[0] if paths else "-", candidate, options)
    with cli.output(output, binary=form == "artifact") as stream:
        if form == "artifact":
            _write_artifact(diffs, lineage, {"context": context, "algorithm": algorithm}, stream)
        elif form == "json":
            _write_json(diffs, stream)
        elif form == "stat":
            from cromwell.apply import diff_forms

            stream.write(diff_forms.stat(diffs))
        elif color == "always" or (color == "auto" and output is None and cli.use_color(stream)):
            from cromwell.apply import diff_forms

            for diff in diffs:
                stream.write(diff_forms.colored(diff))
        else:
            for diff in diffs:
                stream.write(unified.write(diff))
            if not diffs and output is None and _is_pipe():
                stream.write(unified.NO_DIFFERENCE)
    if exit_code and diffs:
        click.get_current_context().exit(1)


# ---- What is compared -------------------------------------------------------------------------------------------------------


def _edit(source: str, candidate: int | None, options: Options) -> tuple[list[Any], list[dict[str, Any]]]:
    from cromwell.apply import unified
    from cromwell.apply.edit import versions
    from cromwell.contract import artifact

    name = "standard input" if source == "-" else source
    with cli.open_input(source) as stream:
        edit = artifact.read(stream, name, {"edit"})
    arguments = {"candidate": candidate, "context": options.context, "algorithm": options.algorithm}
    entry = artifact.lineage_entry("cw-diff", arguments, {"edit": artifact.content_hash(edit)}, None, None)
    diff = unified.compare(*versions(edit, name, candidate), options.context, algorithm=options.algorithm)
    return [diff] if diff else [], [*edit.lineage, entry]


def _folders(old_root: str, new_root: str, name: str | None, options: Options) -> list[Any]:
    """The differences of two folders, names within them."""
    from cromwell.apply import diff_renames, diff_trees, unified

    if name is not None:
        raise click.UsageError("--path goes with two files, not with folders")
    for folder, other in ((old_root, new_root), (new_root, old_root)):
        if not os.path.isdir(folder) and folder != os.devnull:
            if folder == "-" or os.path.lexists(folder):
                shown = "standard input" if folder == "-" else folder
                raise CommandError(f"{shown}: is not a folder, but {other} is a folder", "compare two files or two folders")
            raise CommandError(f"{folder or repr(folder)}: no such folder", "check the name and the current folder")
    pairs = diff_trees.pairs(old_root, new_root)
    found = diff_renames.Found({}, set(), False)
    if options.threshold is not None:
        found = diff_renames.find(pairs, options.threshold, options.copies)
        if found.limited:
            cli.message("too many files came and went to look for renames; only equal ones were paired")
    diffs = []
    for index, (path, old, new) in enumerate(pairs):
        if index in found.gone:
            continue
        settings: dict[str, Any] = {"algorithm": options.algorithm, "binary": options.binary}
        move = found.moves.get(index)
        if move is not None:
            old = move.old
            settings |= {"old_path": move.old_path, "moved": move.kind, "similarity": move.similarity}
        diff = unified.compare(path, old, new, options.context, **settings)
        if diff:
            diffs.append(diff)
    return diffs


def _files(old_path: str, new_path: str, name: str | None, options: Options) -> list[Any]:
    from cromwell.apply import unified
    from cromwell.apply.edit import diff_path

    if old_path == new_path == "-":
        raise click.UsageError("standard input cannot be both files")
    if os.devnull == old_path == new_path:
        raise click.UsageError("both files are /dev/null")
    old, new = (_version(path) for path in (old_path, new_path))
    if old_path == "-" and old and new:
        old = old._replace(executable=new.executable)
    if new_path == "-" and old and new:
        new = new._replace(executable=old.executable)
    if name is None:
        named = [path for path in (old_path, new_path) if path not in ("-", os.devnull)]
        if not named:
            raise CommandError("standard input: has no name", "name the file with --path")
        # A diff applies to one file. OLD's name is right for `cw-diff saved changed`, but one outside this folder could never apply.
        inside = [path for path in named if not os.path.isabs(path) and not diff_path(path).startswith(b"../")]
        name = inside[0] if inside else os.path.basename(named[0])
    diff = unified.compare(diff_path(name), old, new, options.context, algorithm=options.algorithm, binary=options.binary)
    return [diff] if diff else []


def _version(path: str) -> Any:
    from cromwell.apply.unified import Version

    if path == os.devnull:
        return None
    with cli.open_input(path) as stream:
        mode = os.fstat(stream.fileno()).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)) and path != "-":
            raise CommandError(f"{path}: is not a regular file", "pipe it in and give - for it")
        return Version(stream.read(), path != "-" and stat.S_ISREG(mode) and bool(mode & stat.S_IXUSR))


# ---- Forms of output --------------------------------------------------------------------------------------------------------


def _is_pipe() -> bool:
    """Whether standard output is a pipe, to whose reader no byte at all would mean that this command failed."""
    return sys.stdout is not None and stat.S_ISFIFO(os.fstat(1).st_mode)


def _write_json(diffs: Sequence[Any], stream: BinaryIO) -> None:
    import json

    from cromwell.apply.diff_forms import as_json

    stream.write(json.dumps({"version": 1, "files": [as_json(diff) for diff in diffs]}, indent=2).encode() + b"\n")


def _write_artifact(diffs: Sequence[Any], lineage: list[dict[str, Any]], arguments: dict[str, Any], stream: BinaryIO) -> None:
    from cromwell.apply import unified
    from cromwell.apply.blob import ABSENT, blob_hash
    from cromwell.contract import artifact

    if not lineage:
        blobs = {}
        for diff in diffs:
            name = os.fsdecode(diff.path) + ":" if len(diffs) > 1 else ""
            for side, version in (("old", diff.old), ("new", diff.new)):
                blobs[name + side] = blob_hash(version.data) if version else ABSENT
        lineage = [artifact.lineage_entry("cw-diff", arguments, blobs, None, None)]
    text = artifact.bytes_array(b"".join(map(unified.write, diffs)))
    paths = list(dict.fromkeys(os.fsdecode(path) for diff in diffs for path in (diff.old_path, diff.path)))
    artifact.write(artifact.Artifact("diff", {"paths": paths}, {"diff": text}, lineage), stream)


def main() -> None:
    """The command cw-diff."""
    cli.command_main(app)


if __name__ == "__main__":
    main()
