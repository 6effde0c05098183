"""cw-context: settles which lines are to be rewritten and what the model sees around them, and writes a context."""

from __future__ import annotations

from typing import Any

import click

from cromwell.contract import cli, settings

TRAINED_TOKENS = 1024
"""Default budget: the model was trained on sequences of up to 1,024 tokens, answer included; longer prompts run, and get worse."""
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
    ("cw-context ui.py -m 'write the code of this screenshot' --image shot.png", "show the model a picture"),
])
@click.argument("target", metavar="FILE[:A-B|::NAME]")
@click.option("-m", "--message", metavar="TEXT", help="the instruction; - reads it from standard input")
@click.option("--message-file", metavar="FILE", help="read the instruction from FILE")
@click.option("--image", "images", metavar="PICTURE", multiple=True, help="a picture for the model to look at; may be repeated")
@click.option("--context", "excerpts", metavar="FILE[:A-B]", multiple=True, help="other lines to show; may be repeated")
@click.option("--budget", metavar="N", type=click.IntRange(min=1), default=TRAINED_TOKENS, show_default=True,
              help="the most tokens the prompt may have; more than the default is more than the model was trained on")
@click.option("--around", metavar="N", type=click.IntRange(0, 1000), default=AROUND_LINES, show_default=True,
              help="lines shown before and after the region, fewer where the budget is short")
@settings.options("model")
@cli.output_option
def app(target: str, message: str | None, message_file: str | None, images: tuple[str, ...], excerpts: tuple[str, ...], budget: int,
        around: int, output: str | None, settings: settings.Settings) -> None:
    """Settle the lines of FILE to rewrite and what the model sees with them, and write a context.

    The lines are A to B (counted from 1), those of the function, method or class NAME, or else found from what the instruction names."""
    from cromwell.contract import artifact
    from cromwell.contract.cache import content_key
    from cromwell.contract.engine import open_model
    from cromwell.contract.model_input import tiles_each
    from cromwell.prepare import region, source

    instruction = source.read_instruction(message, message_file)
    place = region.parse_place(target)
    file = source.read_source(place.path)
    settled = region.settle(place, file.text, instruction)
    where = f"{file.path}:{settled.first_line}-{settled.last_line}"
    say = cli.message if settled.is_choice else cli.detail
    say(f"{where}: the lines to rewrite ({settled.how}){f'; {settled.left_out}' if settled.left_out else ''}")
    line_count = settled.last_line - settled.first_line + 1
    if line_count > TRAINED_LINES:
        cli.message(f"{where}: {line_count} lines are many: the model was trained on up to {TRAINED_LINES}, mostly fewer than 25")
    for runner_up in settled.runners_up:
        cli.detail(f"{file.path}:{runner_up}")

    arrays = {"target": artifact.bytes_array(file.text.raw)}
    shown = []
    for number, spec in enumerate(excerpts):
        other_place = region.parse_place(spec)
        other = source.read_source(other_place.path)
        first, last = region.given_lines(other_place, other.text)
        shown.append({"path": other.path, "start_line": first, "end_line": last})
        arrays[f"excerpt.{number}"] = artifact.bytes_array(other.text.lines(first, last))
    if images:
        from cromwell.prepare.picture import decode_picture

        for number, name in enumerate(images):
            arrays[f"image.{number}"] = decode_picture(source.read_file(name, source.MAX_PICTURE_BYTES)[0], name)

    meta: dict[str, Any] = {
        "instruction": instruction, "path": file.path, "region": _place(file.text, settled.first_line, settled.last_line),
        "eol": file.text.eol, "encoding": file.text.encoding, "mode": file.mode, "excerpts": shown, "budget_tokens": budget,
    }
    with open_model(settings) as model:
        tiles_each(len(images), model.info.max_tiles)
        _fit(meta, arrays, file.text, around, model, where)
        meta["model"] = model.fingerprint
    cli.detail(f"{where}: {meta['prompt_tokens']} of {budget} tokens")
    inputs = {name: content_key(array.data, *array.shape) for name, array in arrays.items()}
    entry = artifact.lineage_entry("cw-context", {"region": settled.how, "around": around, "budget": budget}, inputs, meta["model"], None)
    with cli.output(output, binary=True) as stream:
        artifact.write(artifact.Artifact("context", meta, arrays, [entry]), stream)


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
