"""cw-apply: applies an edit or a patch to the files of a folder, all of it or none (docs/apply.md): its options, for click."""

from __future__ import annotations

from typing import Any

import click

from cromwell.apply import applying
from cromwell.apply.applying import NEWEST
from cromwell.contract import cli
from cromwell.contract import settings as table

EXAMPLES = [
    ("cw-context app.py:10-30 -m 'use pathlib' | cw-generate | cw-apply", "edit app.py"),
    ("cw-apply --check 'pytest -q' edit.cwa", "apply an edit, and take it back unless the tests pass"),
    ("git diff v1 v2 | cw-apply --root copy --dry-run", "see whether a patch would apply to the files in copy"),
    ("cw-apply --undo", "take the last patch back"),
]


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
def app(**parameters: Any) -> None:
    """Applies an edit artifact, a diff artifact or a unified diff from anywhere (standard input by default) to the files in DIR.

    All files change, or none does; a run that is cut off is taken back by the next one. Where a diff names the versions of files
    (git's index lines, which cw-diff writes), exactly those versions are patched."""
    click.get_current_context().exit(applying.run(**parameters))


def main() -> None:
    """The command cw-apply."""
    applying.alone = True
    cli.command_main(app)


if __name__ == "__main__":
    main()
