"""cw-context: settles which lines are to be rewritten and what the model sees around them, and writes a context or a list of lines."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from cromwell.contract import cli, settings

if TYPE_CHECKING:
    from cromwell.binding import Model
    from cromwell.prepare.choose import Chosen
    from cromwell.prepare.index import Index
    from cromwell.prepare.region import Settled
    from cromwell.prepare.source import Source

TRAINED_TOKENS = 1024
"""Default budget: the model was trained on sequences of up to 1,024 tokens, answer included; longer prompts run, and get worse."""
LIST_TOKENS = 8192
"""Default budget of a list, which is for other readers than the model that comes with Cromwell."""
TRAINED_LINES = 40
"""Lines of the longest regions in training."""
AROUND_LINES = 6
"""Lines shown before and after the region; training shows up to 6."""


def _place(text: Any, first_line: int, last_line: int) -> dict[str, int]:
    start, end = text.span(first_line, last_line)
    return {"start_line": first_line, "end_line": last_line, "start_byte": start, "end_byte": end}


@cli.command("cw-context", examples=[
    ("cw-context src/calc.py:10-24 -m 'rename parameter a to left' | cw-generate | cw-apply", "edit lines 10 to 24"),
    ("cw-context app.py::Client.get -m 'set the timeout to 30' -o app.cwa", "edit one method; keep the context in a file"),
    ("cw-context app.py -m 'replace json.loads with orjson.loads'", "find the lines from the names in the instruction"),
    ("cw-context src/ -m 'replace json.loads with orjson.loads'", "find the file, too"),
    ("cw-context --list app.py:10-24 -m 'close the session on errors' --budget 4000", "list the lines of other files that matter"),
    ("cw-context ui.py -m 'write the code of this screenshot' --image shot.png", "show the model a picture"),
])
@click.argument("target", metavar="TARGET")
@click.option("-m", "--message", metavar="TEXT", help="the instruction; - reads it from standard input")
@click.option("--message-file", metavar="FILE", help="read the instruction from FILE")
@click.option("--image", "images", metavar="PICTURE", multiple=True, help="a picture for the model to look at; may be repeated")
@click.option("--context", "excerpts", metavar="FILE[:A-B]", multiple=True, help="other lines to show; may be repeated")
@click.option("--select", metavar="N", type=click.IntRange(min=1), default=None,
              help="show lines of other files of the tree, too, up to N tokens of them, as far as the budget goes")
@click.option("--budget", metavar="N", type=click.IntRange(min=1), default=None,
              help=f"the most tokens the prompt may have ({TRAINED_TOKENS} unless given; more is more than the model was trained on), or "
                   f"with --list the lines listed ({LIST_TOKENS})")
@click.option("--around", metavar="N", type=click.IntRange(0, 1000), default=AROUND_LINES, show_default=True,
              help="lines shown before and after the region, fewer where the budget is short")
@click.option("--list", "is_list", is_flag=True, help="print the lines of the tree that matter, PATH:START-END, instead of a context")
@click.option("--json", "is_json", is_flag=True, help="with --list: print one JSON document")
@click.option("--explain", is_flag=True, help="print every file's score, and what each factor adds, on standard error")
@click.option("--explain-plot", metavar="FILE.svg", help="draw the scores of the best files, stacked by factor")
@click.option("--root", metavar="DIR", help="the tree; by default the repository or project around TARGET")
@click.option("--files-from", metavar="FILE", help="look only at the files whose names FILE holds, one a line; - is standard input")
@click.option("-0", "--null", "zero", is_flag=True, help="names in --files-from, and lines of --list, end with NUL")
@click.option("--hidden", is_flag=True, help="look at files whose names begin with a dot, too")
@click.option("--allow-secrets", is_flag=True, help="show lines of other files though they look like keys or passwords")
@settings.options("model", "cache")
@cli.output_option
def app(target: str, message: str | None, message_file: str | None, images: tuple[str, ...], excerpts: tuple[str, ...], select: int | None,
        budget: int | None, around: int, is_list: bool, is_json: bool, explain: bool, explain_plot: str | None, root: str | None,
        files_from: str | None, zero: bool, hidden: bool, allow_secrets: bool, output: str | None, settings: settings.Settings) -> None:
    """Settle the lines to rewrite and what the model sees with them, and write a context; or list the lines of a tree that matter.

    TARGET is FILE:A-B, lines A to B (counted from 1); FILE::NAME, a function, method or class; FILE, where the lines are found from the
    instruction; or a folder, where the file is found, too."""
    from cromwell.contract.errors import CommandError
    from cromwell.prepare import region, source

    _check_options(is_list, is_json, zero, select, images, excerpts, explain_plot, files_from, message, message_file)
    instruction = source.read_instruction(message, message_file)
    place = region.parse_place(target)
    is_folder = place.lines is None and place.symbol is None and os.path.isdir(place.path)
    tree = None
    if is_folder or is_list or select or explain or explain_plot:
        from cromwell.prepare.tree import find_root, inside, listed_names

        tree = root if root is not None else find_root(place.path)
        if not os.path.isdir(tree):
            raise CommandError(f"{tree}: {'not a folder' if os.path.lexists(tree) else 'no such folder'}",
                               "name the folder that the files lie in")
        names = None if files_from is None else listed_names(files_from, tree, zero)
        if is_folder or os.path.lexists(place.path):
            inside(place.path, tree)
    elif root is not None or files_from is not None or hidden:
        raise CommandError("cw-context: --root, --files-from and --hidden say which tree to look at, and none is looked at",
                           "add --list or --select N, or give a folder")
    if tree is None:
        file = source.read_source(place.path)
        settled = _settle(place, file, instruction)
        _write(file, settled, instruction, images, excerpts, budget or TRAINED_TOKENS, around, None, 0, allow_secrets, output, settings)
        return
    from cromwell.prepare.index import open_index

    with open_index(tree, settings, names=names, hidden=hidden) as index:
        _say_left_out(index)
        if is_list:
            _list(place, is_folder, index, instruction, budget or LIST_TOKENS, is_json, zero, explain, explain_plot, allow_secrets, output,
                  settings)
            return
        from cromwell.prepare.rank import Target, rank_files

        if is_folder:
            scores = rank_files(index, Target(None, None), instruction)
            file, settled = _located(place.path, index, instruction, scores)
            _explain(scores, instruction, explain, explain_plot)
        else:
            file = source.read_source(place.path)
            settled = _settle(place, file, instruction)
        if not is_folder and not select:
            _explain(rank_files(index, _target(index, file, settled), instruction), instruction, explain, explain_plot)
        chosen = _write(file, settled, instruction, images, excerpts, budget or TRAINED_TOKENS, around, index, select or 0, allow_secrets,
                        output, settings)
        if chosen is not None and not is_folder:
            _explain(chosen.scores, instruction, explain, explain_plot)


def _check_options(is_list: bool, is_json: bool, zero: bool, select: int | None, images: tuple[str, ...], excerpts: tuple[str, ...],
                   explain_plot: str | None, files_from: str | None, message: str | None, message_file: str | None) -> None:
    """CommandError (exit 2) for options that do not go together."""
    from cromwell.contract.errors import CommandError

    if is_json and not is_list:
        raise CommandError("cw-context: --json is the form of a list", "add --list; cw-inspect --json shows a context")
    if is_json and zero and files_from is None:
        raise CommandError("cw-context: both --json and -0", "choose one form")
    if zero and not is_list and files_from is None:
        raise CommandError("cw-context: -0 ends names with NUL, and there are none", "it goes with --list or --files-from")
    if is_list and (images or excerpts or select):
        raise CommandError("cw-context: --list prints lines of files: --image, --context and --select have no place in it",
                           "its size is set by --budget")
    if files_from == "-" and (message == "-" or message_file == "-"):
        raise CommandError("cw-context: both the instruction and --files-from from standard input", "put one of them into a file")
    if explain_plot is not None and not explain_plot.endswith(".svg"):
        raise CommandError(f"{explain_plot}: the picture is SVG", "name it FILE.svg; browsers show it, and many tools convert it")


def _settle(place: Any, file: Source, instruction: str) -> Settled:
    """The lines of a file, said on standard error."""
    from cromwell.prepare import region

    settled = region.settle(place, file.text, instruction)
    _say_settled(file.path, settled)
    return settled


def _say_settled(path: str, settled: Settled) -> None:
    where = f"{path}:{settled.first_line}-{settled.last_line}"
    say = cli.message if settled.is_choice else cli.detail
    say(f"{where}: the lines to rewrite ({settled.how}){f'; {settled.left_out}' if settled.left_out else ''}")
    line_count = settled.last_line - settled.first_line + 1
    if line_count > TRAINED_LINES:
        cli.message(f"{where}: {line_count} lines are many: the model was trained on up to {TRAINED_LINES}, mostly fewer than 25")
    for runner_up in settled.runners_up:
        cli.detail(runner_up if settled.how == "folder" else f"{path}:{runner_up}")


def _located(folder: str, index: Index, instruction: str, scores: Any) -> tuple[Source, Settled]:
    """The file and the lines that the instruction means in a folder. CommandError (exit 4) when none is likely enough."""
    from cromwell.prepare import source
    from cromwell.prepare.locate import chance, locate, the_place
    from cromwell.prepare.region import Settled
    from cromwell.prepare.tree import inside, quoted

    places = locate(index, inside(folder, index.root), instruction, scores)
    best = the_place(places, folder)
    file = source.read_source(os.path.relpath(os.path.join(index.root, best.path)))
    if best.region.last_line > file.text.line_count:
        from cromwell.contract.errors import CommandError

        raise CommandError(f"{file.path}: changed while it was read", "run the command again")
    others = tuple(f"{quoted(found.path)}:{found.region.first_line}-{found.region.last_line}: {found.region.name or 'outside functions'}, "
                   f"score {found.score:.1f}" for found in places[:4])
    cli.detail(f"{quoted(best.path)}: likely by {chance(places):.2f}")
    missed = best.region.missed and f"{best.region.missed} more lines of {best.region.name or 'the file'} with the same names left out"
    settled = Settled(best.region.first_line, best.region.last_line, "folder", True, missed or "", others)
    _say_settled(file.path, settled)
    return file, settled


def _target(index: Index, file: Source, settled: Settled | None) -> Any:
    """A file and its lines as ranking takes them; nothing for a file that the index leaves out."""
    from cromwell.prepare.rank import Target
    from cromwell.prepare.tree import inside

    path = inside(file.path, index.root)
    if path not in index.by_path:
        cli.detail(f"{file.path}: not among the files of {index.root} that are looked at (ignored, or too large)")
        return Target(None, None)
    return Target(path, (settled.first_line, settled.last_line) if settled is not None else None)


def _say_left_out(index: Index) -> None:
    for reason, count in index.left_out.items():
        if count:
            cli.detail(f"{index.root}: {count} left out: {reason}")
    if not index.files:
        cli.message(f"{index.root}: no files to look at")


def _list(place: Any, is_folder: bool, index: Index, instruction: str, budget: int, is_json: bool, zero: bool, explain: bool,
          explain_plot: str | None, allow_secrets: bool, output: str | None, settings: Any) -> None:
    """Prints the selection: lines, or with `is_json` a document."""
    from cromwell.contract.engine import open_model
    from cromwell.contract.errors import CommandError
    from cromwell.prepare import region, source
    from cromwell.prepare.choose import choose
    from cromwell.prepare.rank import Target
    from cromwell.prepare.tree import quoted

    target, found = Target(None, None), None
    if not is_folder:
        file = source.read_source(place.path)
        try:
            settled: Settled | None = region.settle(place, file.text, instruction)
        except CommandError as error:
            if error.exit_code != cli.EXIT_NO_EDIT:
                raise
            settled = None  # nothing of the instruction is in the file: the whole of it is the target
        target = _target(index, file, settled)
        from cromwell.prepare.tree import inside

        found = {"path": inside(file.path, index.root), "start_line": settled.first_line if settled else 1,
                 "end_line": settled.last_line if settled else file.text.line_count, "how": settled.how if settled else "whole file"}
    with open_model(settings) as model:
        chosen = choose(index, target, instruction, budget, lambda text: len(model.tokenizer.encode(text)), allow_secrets)
    _explain(chosen.scores, instruction, explain and not is_json, explain_plot)
    cli.detail(f"{len(chosen.excerpts)} excerpts, {chosen.tokens} of {budget} tokens")
    if is_json:
        import json

        document: dict[str, Any] = {
            "format": "cromwell-selection", "version": 1, "root": index.root, "target": found, "budget_tokens": budget,
            "tokens": chosen.tokens, "left_out": [{"path": e.path, "line": e.line, "kind": e.kind} for e in chosen.left_out],
            "excerpts": [{"path": e.path, "start_line": e.first_line, "end_line": e.last_line} for e in chosen.excerpts]}
        if explain:
            from cromwell.prepare.explain import as_json

            document["scores"] = as_json(chosen.scores)
        text = json.dumps(document).encode() + b"\n"
    else:
        text = b"".join(os.fsencode(f"{e.path if zero else quoted(e.path)}:{e.first_line}-{e.last_line}") + (b"\0" if zero else b"\n")
                        for e in chosen.excerpts)
    with cli.output(output, binary=zero) as stream:
        stream.write(text)


def _explain(scores: Any, instruction: str, is_table: bool, plot: str | None) -> None:
    """Prints and draws the scores of files, as far as asked."""
    if is_table:
        from cromwell.prepare.explain import table

        for line in table(scores):
            cli.message(line)
    if plot is not None:
        from cromwell.prepare.explain import svg

        with cli.output(plot, binary=True) as stream:
            stream.write(svg(scores, instruction).encode("utf-8"))


def _write(file: Source, settled: Settled, instruction: str, images: tuple[str, ...], excerpts: tuple[str, ...], budget: int, around: int,
           index: Index | None, select: int, allow_secrets: bool, output: str | None, settings: Any) -> Chosen | None:
    """Writes the context; returns what was selected with it."""
    from cromwell.contract import artifact
    from cromwell.contract.cache import content_key
    from cromwell.contract.engine import open_model
    from cromwell.contract.model_input import tiles_each
    from cromwell.prepare import region, source

    where = f"{file.path}:{settled.first_line}-{settled.last_line}"
    arrays = {"target": artifact.bytes_array(file.text.raw)}
    shown = []
    for spec in excerpts:
        other_place = region.parse_place(spec)
        other = source.read_source(other_place.path)
        first, last = region.given_lines(other_place, other.text)
        _warn_of_secrets(other, first, last)
        arrays[f"excerpt.{len(shown)}"] = artifact.bytes_array(other.text.lines(first, last))
        shown.append({"path": other.path, "start_line": first, "end_line": last})
    pictures = {}
    if images:
        from cromwell.prepare.picture import decode_picture

        for number, name in enumerate(images):
            pictures[f"image.{number}"] = decode_picture(source.read_file(name, source.MAX_PICTURE_BYTES)[0], name)

    meta: dict[str, Any] = {
        "instruction": instruction, "path": file.path, "region": _place(file.text, settled.first_line, settled.last_line),
        "eol": file.text.eol, "encoding": file.text.encoding, "mode": file.mode, "excerpts": shown, "budget_tokens": budget,
    }
    chosen = None
    with open_model(settings) as model:
        tiles_each(len(images), model.info.max_tiles)
        _fit(meta, arrays | pictures, file.text, around, model, where)
        room = budget - meta["prompt_tokens"]
        if index is not None and select and room > 0:
            chosen = _add_selection(meta, arrays, file, settled, index, min(select, room), model, allow_secrets)
            _fit(meta, arrays | pictures, file.text, around, model, where)
        meta["model"] = model.fingerprint
    arrays |= pictures
    window = meta["window"]
    _warn_of_secrets(file, window["start_line"], window["end_line"])
    cli.detail(f"{where}: {meta['prompt_tokens']} of {budget} tokens")
    inputs = {name: content_key(array.data, *array.shape) for name, array in arrays.items()}
    arguments = {"region": settled.how, "around": around, "budget": budget} | ({"select": select} if select else {})
    entry = artifact.lineage_entry("cw-context", arguments, inputs, meta["model"], None)
    with cli.output(output, binary=True) as stream:
        artifact.write(artifact.Artifact("context", meta, arrays, [entry]), stream)
    return chosen


def _add_selection(meta: dict[str, Any], arrays: dict[str, Any], file: Source, settled: Settled, index: Index, tokens: int, model: Model,
                   allow_secrets: bool) -> Chosen:
    """Adds lines of other files to a context."""
    from cromwell.contract import artifact
    from cromwell.prepare.choose import choose, from_here

    chosen = choose(index, _target(index, file, settled), meta["instruction"], tokens, lambda text: len(model.tokenizer.encode(text)),
                    allow_secrets)
    for excerpt, text in zip(chosen.excerpts, chosen.texts, strict=True):
        path = from_here(index.root, excerpt.path)
        arrays[f"excerpt.{len(meta['excerpts'])}"] = artifact.bytes_array(text)
        meta["excerpts"].append({"path": path, "start_line": excerpt.first_line, "end_line": excerpt.last_line})
        cli.detail(f"{path}:{excerpt.first_line}-{excerpt.last_line}: shown")
    return chosen


def _warn_of_secrets(file: Source, first_line: int, last_line: int) -> None:
    """Says which lines shown of a file that the user named look secret; they were asked for, so they stay."""
    from cromwell.prepare.choose import warn
    from cromwell.prepare.secrets import secrets_in

    for secret in secrets_in(file.path, file.text.lines(first_line, last_line)):
        line = secret.first_line + first_line - 1
        warn(file.path, secret._replace(first_line=line), "shown to the model, since its file was named")


def _fit(meta: dict[str, Any], arrays: dict[str, Any], text: Any, around: int, model: Any, where: str) -> None:
    """Adds the largest window of up to `around` lines either side that fits the budget to `meta`, and the size of the prompt.

    CommandError (exit 2) when even the region alone does not fit, with the number of tokens needed."""
    from cromwell.contract.errors import CommandError
    from cromwell.contract.model_input import prompt_tokens

    budget, positions = meta["budget_tokens"], model.info.max_positions
    if budget > positions:
        raise CommandError(f"cw-context: a budget of {budget} tokens: the model has {positions} positions", f"use at most {positions}")
    first, last = meta["region"]["start_line"], meta["region"]["end_line"]
    before, after = min(around, first - 1), min(around, text.line_count - last)

    def size(lines: int) -> int:
        """Sets a window of `lines` lines, as even as may be on both sides, and counts its prompt."""
        above = max(min(before, (lines + 1) // 2), lines - after)
        meta["window"] = _place(text, first - above, last + lines - above)
        meta["prompt_tokens"] = len(prompt_tokens(meta, arrays, model.tokenizer))
        return meta["prompt_tokens"]

    if size(before + after) <= budget:
        return
    if size(0) <= budget:
        fitting, too_many = 0, before + after
        while too_many - fitting > 1:
            lines = (fitting + too_many) // 2
            fitting, too_many = (lines, too_many) if size(lines) <= budget else (fitting, lines)
        size(fitting)
        return
    needed = meta["prompt_tokens"]
    cheaper = "give fewer lines" + (" or less --context" if meta["excerpts"] else "")
    more = f", or raise it: --budget {needed}" if needed <= positions else f"; the model has {positions} positions"
    raise CommandError(f"{where}: needs {needed} tokens, the budget is {budget}", cheaper + more)


def main() -> None:
    cli.command_main(app)
