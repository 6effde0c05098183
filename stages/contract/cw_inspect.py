"""cw-inspect: shows any artifact or model pack to a person, or as one JSON document."""

from __future__ import annotations

import json
from typing import Any

import click

from cromwell.contract import artifact as container
from cromwell.contract import cli, settings

JSON_VERSION = 1  # of the document that --json prints

EXAMPLES = [
    ("cw-context calc.py:10-24 -m 'rename a to left' | cw-inspect", "show what a command hands on"),
    ("cw-inspect edit.cwa", "show an artifact that was kept"),
    ("cw-inspect --json edit.cwa | jq .meta.best", "the same for a program"),
    ("cw-inspect model.cwm", "show a model pack"),
]


@cli.command("cw-inspect", EXAMPLES)
@click.argument("input", metavar="[FILE]", default="-")
@click.option("--json", "as_json", is_flag=True, help="print one JSON document (docs/command-line.md) instead of text")
@settings.options("model")
def app(input: str, as_json: bool, settings: settings.Settings) -> None:
    """Prints an artifact for a person: its header, where it came from, its text and a summary of each array. FILE may be a model
    pack too. Without FILE, or with -, the artifact comes from standard input.

    Tokens are shown as text where the model that made them is at hand (--model)."""
    if input != "-" and _is_pack(input):
        document = _pack_document(input)
        text = _pack_text
    else:
        with cli.open_input(input) as stream:
            item = container.read(stream, "standard input" if input == "-" else input)
        document = _artifact_document(item, _tokens_text(item, settings))
        text = _artifact_text(item)
    with cli.output(None, binary=False) as out:
        if as_json:
            out.write(json.dumps(document, sort_keys=True, allow_nan=False).encode("ascii") + b"\n")
        else:
            out.write(text(document).encode("utf-8", "backslashreplace"))


def main() -> None:
    """Entry point of the command."""
    cli.command_main(app)


# ---- Model packs ------------------------------------------------------------------------------------------------------------


def _is_pack(path: str) -> bool:
    """Whether a file is meant as a model pack: it begins like one (docs/pack.md), or is named like one and is no artifact."""
    with cli.open_input(path) as stream:
        start = stream.read(8)
    return start == b"CROMPACK" or path.endswith(".cwm") and not container.is_artifact(start)


def _pack_document(path: str) -> dict[str, Any]:
    import os

    from cromwell.contract.engine import open_model_file

    with open_model_file(path) as model:
        sizes = model.info._asdict()
        del sizes["fingerprint"]
        return {"format": "cromwell-inspect", "version": JSON_VERSION, "kind": "model", "fingerprint": model.fingerprint, "sizes": sizes,
                "bytes": os.path.getsize(path), "config": model.config,
                "tensors": [{"name": tensor.name, "format": tensor.format, "shape": list(tensor.shape), "bytes": tensor.size_bytes}
                            for tensor in model.tensors]}


def _pack_text(document: dict[str, Any]) -> str:
    config = document["config"]
    lines = [f"model {config.get('name', '')}: {document['sizes']['parameter_count']} parameters, {document['bytes']} bytes, "
             f"fingerprint {document['fingerprint']}"]
    lines += ["", _heading("sizes")] + [f"  {name}: {value}" for name, value in document["sizes"].items()]
    lines += ["", _heading("tensors"), *_parts(document["tensors"])]
    return "\n".join([*lines, "", _heading("config"), *_tree(config, "  ")]) + "\n"


def _parts(tensors: list[dict[str, Any]]) -> list[str]:
    """A line for each part of the model and each format in it: how many tensors and numbers, how many bytes."""
    from math import prod

    sums: dict[tuple[str, str], list[int]] = {}
    for tensor in tensors:
        found = sums.setdefault((tensor["name"].partition(".")[0], tensor["format"]), [0, 0, 0])
        found[0] += 1
        found[1] += prod(tensor["shape"])
        found[2] += tensor["bytes"]
    return [f"  {part}, {form}: {numbers} numbers in {count} tensor{'s' * (count > 1)}, {size} bytes"
            for (part, form), (count, numbers, size) in sums.items()]


# ---- Artifacts --------------------------------------------------------------------------------------------------------------


def _tokens_text(item: container.Artifact, values: settings.Settings) -> str | None:
    """The tokens of an encoding as text, or None when there are none or their model is not at hand."""
    tokens = item.arrays.get("tokens")
    if tokens is None:
        return None
    from cromwell.contract.engine import open_model
    from cromwell.contract.summary import shown
    from cromwell.contract.summary import values as numbers

    try:
        with open_model(values) as model:
            if model.fingerprint != item.meta["model"]:
                cli.message(f"tokens are not shown as text: made with model {item.meta['model']}, at hand is {model.fingerprint}")
                return None
            from cromwell.binding import CromwellError

            try:
                return shown(model.tokenizer.decode(numbers(tokens), with_special=True))
            except CromwellError as error:
                cli.message(f"tokens are not shown as text: {error.text}")
    except cli.CommandError as error:
        cli.message(f"tokens are not shown as text: {error.where_and_what}")
    return None


def _artifact_document(item: container.Artifact, tokens_text: str | None) -> dict[str, Any]:
    from cromwell.contract import schema
    from cromwell.contract.summary import summary, text_of

    arrays = []
    for name, values in item.arrays.items():
        entry = {"name": name, **summary(values)}
        text = tokens_text if name == "tokens" else text_of(values)
        if text is not None:
            entry["text"] = text
        arrays.append(entry)
    return {"format": "cromwell-inspect", "version": JSON_VERSION, "kind": item.kind, "schema": schema.VERSION,
            "content": container.content_hash(item), "meta": item.meta, "lineage": item.lineage, "required": list(item.required),
            "extra": item.extra, "arrays": arrays}


def _artifact_text(item: container.Artifact) -> Any:
    """A function from the document to the text for a person."""
    from cromwell.contract.summary import described, shown

    def text(document: dict[str, Any]) -> str:
        lines = [f"{_heading(item.kind)} (schema {document['schema']}, content {document['content'][:16]})", *_tree(item.meta, "  ")]
        lines += ["", _heading("lineage")]
        for step in item.lineage:
            rest = {name: value for name, value in step.items() if name not in ("tool", "version")}
            lines += [f"  {_plain(step['tool'])} {_plain(step['version'])}", *_tree(rest, "    ")]
        lines += ["", _heading("arrays")]
        for entry in document["arrays"]:
            lines.append(f"  {entry['name']}: {described(item.arrays[entry['name']], entry)}")
        for entry in document["arrays"]:
            if entry["name"] == "tokens" and "text" in entry:
                lines += ["", _heading("tokens as text"), entry["text"]]
        if item.kind == "edit":
            lines += _candidates(item)
        elif item.kind == "diff":
            lines += ["", shown(item.arrays["diff"].data).rstrip("\n")]
        return "\n".join(lines) + "\n"

    return text


def _candidates(item: container.Artifact) -> list[str]:
    """Each candidate as the lines it takes from the region and puts there."""
    from cromwell.binding import diff_lines
    from cromwell.contract.summary import shown

    region, lines = item.meta["region"], []
    old = item.arrays["target"].data[region["start_byte"]:region["end_byte"]]
    for index, candidate in enumerate(item.meta["candidates"]):
        new = item.arrays[f"candidate.{index}"].data
        verdict = "accepted" if candidate["accepted"] else f"refused: {_plain(str(candidate['reason']))}"
        lines += ["", _heading(f"candidate {index}") + (" (best)" if index == item.meta["best"] else "") + f", {verdict}"]
        old_lines, new_lines = old.split(b"\n"), new.split(b"\n")
        changes = diff_lines(old, new)
        for old_first, old_count, new_first, new_count in changes:
            lines.append(_colored(f"@@ line {region['start_line'] + old_first} @@", "36"))
            lines += [_colored("-" + shown(line), "31") for line in old_lines[old_first:old_first + old_count]]
            lines += [_colored("+" + shown(line), "32") for line in new_lines[new_first:new_first + new_count]]
        if not changes:
            lines.append("  no change")
    return lines


# ---- Text -------------------------------------------------------------------------------------------------------------------


def _colored(text: str, code: str) -> str:
    import sys

    return f"\x1b[{code}m{text}\x1b[0m" if cli.use_color(sys.stdout) else text


def _heading(text: str) -> str:
    return _colored(text, "1")


def _plain(text: str) -> str:
    """Text from outside, safe for a terminal."""
    from cromwell.contract.summary import shown

    return shown(text.encode("utf-8", "backslashreplace"))


def _tree(value: Any, indent: str) -> list[str]:
    """A JSON value as indented lines."""
    if isinstance(value, dict):
        pairs = [(_plain(name), child) for name, child in sorted(value.items())]
    else:
        pairs = [(str(index), child) for index, child in enumerate(value)]
    lines = []
    for name, child in pairs:
        if isinstance(child, (dict, list)) and child:
            lines += [f"{indent}{name}:", *_tree(child, indent + "  ")]
        else:
            text = _plain(child) if isinstance(child, str) else json.dumps(child)
            lines.append(f"{indent}{name}: " + text.replace("\n", "\n" + indent + "  "))
    return lines
