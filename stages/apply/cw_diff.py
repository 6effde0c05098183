"""cw-diff: shows an edit, or the difference of two files, as a git-format unified diff (docs/apply.md)."""

from __future__ import annotations

import os
import stat
from typing import Any, BinaryIO

import click

from cromwell.contract import cli
from cromwell.contract.errors import CommandError

BINARY_PROBE_BYTES = 8000  # git looks for a NUL in as many

EXAMPLES = [
    ("cw-context app.py:10-30 -m 'use pathlib' | cw-generate | cw-diff", "show the edit that cw-apply would apply"),
    ("cw-diff old.py new.py | cw-apply --root elsewhere", "carry the difference of two files over"),
    ("cw-diff --exit-code old.py new.py > changes.diff", "exit 1 if they differ"),
]


@cli.command("cw-diff", examples=EXAMPLES)
@click.argument("paths", nargs=-1, metavar="[EDIT | OLD NEW]")
@click.option("-U", "--unified", "context", type=click.IntRange(0, 1 << 20), default=3, show_default=True, metavar="N",
              help="lines of context")
@click.option("-n", "--candidate", type=click.IntRange(0), default=None, metavar="K",
              help="candidate K of the edit, from 0, instead of the best")
@click.option("--path", default=None, metavar="NAME", help="name of the file in the diff of OLD and NEW")
@click.option("-a", "--text", is_flag=True, help="compare files that look binary, too")
@click.option("--exit-code", is_flag=True, help="exit 1 when there is a difference")
@click.option("--stat", "form", flag_value="stat", help="print lines added and removed instead of the diff")
@click.option("--json", "form", flag_value="json", help="print a JSON description instead of the diff")
@click.option("--artifact", "form", flag_value="artifact", help="write a diff artifact, which carries the lineage on")
@cli.output_option
def app(paths: tuple[str, ...], context: int, candidate: int | None, path: str | None, text: bool, exit_code: bool, form: str | None,
        output: str | None) -> None:
    """Shows what an edit artifact would change (from EDIT, or standard input), or what turns the file OLD into NEW.

    The text is what git diff --full-index prints, and what cw-apply applies. /dev/null stands for a file that is not there,
    - for standard input."""
    from cromwell.apply import unified

    if len(paths) > 2:
        raise click.UsageError(f"{len(paths)} files given, not one edit or two files")
    if len(paths) == 2:
        if candidate is not None:
            raise click.UsageError("--candidate goes with an edit, not with two files")
        name, old, new = _two_files(*paths, path, text)
        lineage: list[dict[str, Any]] = []
    else:
        if path is not None or text:
            raise click.UsageError("--path and --text go with two files, not with an edit")
        name, old, new, lineage = _edit(paths[0] if paths else "-", candidate, context)
    diff = unified.compare(name, old, new, context)
    with cli.output(output, binary=form == "artifact") as stream:
        if form == "stat":
            stream.write(_stat(diff))
        elif form == "json":
            stream.write(_json(diff))
        elif form == "artifact":
            _write_artifact(diff, lineage, {"context": context}, stream)
        elif diff:
            written = unified.write(diff)
            stream.write(_colored(written) if output is None and cli.use_color(stream) else written)
    if exit_code and diff:
        click.get_current_context().exit(1)


def _edit(source: str, candidate: int | None, context: int) -> tuple[bytes, Any, Any, list[dict[str, Any]]]:
    from cromwell.apply.edit import versions
    from cromwell.contract import artifact

    name = "standard input" if source == "-" else source
    with cli.open_input(source) as stream:
        edit = artifact.read(stream, name, {"edit"})
    arguments = {"candidate": candidate, "context": context}
    entry = artifact.lineage_entry("cw-diff", arguments, {"edit": artifact.content_hash(edit)}, None, None)
    return *versions(edit, name, candidate), [*edit.lineage, entry]


def _two_files(old_path: str, new_path: str, name: str | None, text: bool) -> tuple[bytes, Any, Any]:
    from cromwell.apply.edit import diff_path

    if old_path == new_path == "-":
        raise click.UsageError("standard input cannot be both files")
    if os.devnull == old_path == new_path:
        raise click.UsageError("both files are /dev/null")
    old, new = (_version(path, text) for path in (old_path, new_path))
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
    return diff_path(name), old, new


def _version(path: str, text: bool) -> Any:
    from cromwell.apply.unified import Version

    if path == os.devnull:
        return None
    with cli.open_input(path) as stream:
        mode = os.fstat(stream.fileno()).st_mode
        if not stat.S_ISREG(mode) and path != "-":
            raise CommandError(f"{path}: is not a regular file", "pipe it in and give - for it")
        data = stream.read()
    if not text and b"\0" in data[:BINARY_PROBE_BYTES]:
        where = "standard input" if path == "-" else path
        raise CommandError(f"{where}: looks binary (holds a NUL byte)", "--text compares it all the same")
    return Version(data, path != "-" and bool(mode & stat.S_IXUSR))


# ---- Forms of output --------------------------------------------------------------------------------------------------------


def _stat(diff: Any) -> bytes:
    """Git's --stat of one file, at most 40 signs wide."""
    if diff is None:
        return b""
    from cromwell.apply.names import quote

    added, removed = diff.added, diff.removed
    scale = min(1.0, 40 / max(1, added + removed))
    plus, minus = (max(1, round(count * scale)) if count else 0 for count in (added, removed))
    total = [" 1 file changed"]
    if added or not removed:
        total.append(f"{added} insertion{'s' * (added != 1)}(+)")
    if removed or not added:
        total.append(f"{removed} deletion{'s' * (removed != 1)}(-)")
    line = b" %s | %d %s%s" % (quote(diff.path), added + removed, b"+" * plus, b"-" * minus)
    return line.rstrip() + b"\n" + ", ".join(total).encode() + b"\n"


def _json(diff: Any) -> bytes:
    import json

    from cromwell.apply.blob import blob_hash

    files = []
    for one in [diff] if diff else []:
        sides = {}
        for side, version in (("old", one.old), ("new", one.new)):
            sides[side + "_blob"] = blob_hash(version.data) if version else None
            sides[side + "_mode"] = version.mode.decode() if version else None
        hunks = []
        for hunk in one.hunks:
            hunks.append({"old_start_line": hunk.old_first + bool(hunk.old_count), "old_lines": hunk.old_count,
                          "new_start_line": hunk.new_first + bool(hunk.new_count), "new_lines": hunk.new_count})
        files.append({"path": os.fsdecode(one.path), **sides, "added_lines": one.added, "removed_lines": one.removed, "hunks": hunks})
    return json.dumps({"version": 1, "files": files}, indent=2).encode() + b"\n"


def _write_artifact(diff: Any, lineage: list[dict[str, Any]], arguments: dict[str, Any], stream: BinaryIO) -> None:
    from cromwell.apply import unified
    from cromwell.apply.blob import ABSENT, blob_hash
    from cromwell.contract import artifact

    if not lineage:
        sides = {"old": diff.old, "new": diff.new} if diff else {}
        blobs = {side: blob_hash(version.data) if version else ABSENT for side, version in sides.items()}
        lineage = [artifact.lineage_entry("cw-diff", arguments, blobs, None, None)]
    paths = [os.fsdecode(diff.path)] if diff else []
    text = artifact.bytes_array(unified.write(diff) if diff else b"")
    artifact.write(artifact.Artifact("diff", {"paths": paths}, {"diff": text}, lineage), stream)


def _colored(text: bytes) -> bytes:
    """`text` with git's default colours."""
    lines, in_header = [], True
    for line in text.split(b"\n"):
        if line.startswith(b"@@"):
            in_header = False
        color = b"1" if in_header else {b"@": b"36", b"+": b"32", b"-": b"31"}.get(line[:1])
        lines.append(b"\x1b[%sm%s\x1b[m" % (color, line) if color and line else line)
    return b"\n".join(lines)


def main() -> None:
    """The command cw-diff."""
    cli.command_main(app)


if __name__ == "__main__":
    main()
