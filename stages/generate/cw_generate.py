"""cw-generate: decodes an edit from a context or an encoding, and writes the best candidate that passes the gate."""

from __future__ import annotations

import io
import math
import sys
import time
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from cromwell.contract import cli, settings, words

if TYPE_CHECKING:
    from cromwell.binding import Model
    from cromwell.contract.artifact import Artifact
    from cromwell.contract.cache import Cache
    from cromwell.contract.prefix import Pixels
    from cromwell.generate.decode import Sampling

TAIL = 0.1
"""Default --min-p. Most tokens of an edit are certain; without it a long answer draws one from the tail somewhere, and is spoilt."""
CONFIDENT = 0.1
"""Default --min-confidence. Of held-out edits it keeps 95% of the right answers and refuses half of the wrong ones (docs/stages.md)."""
SPACE = "edit"
"""Space of the cache that holds whole results."""


def _finite(_ctx: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter("is no finite number")
    return value


@cli.command("cw-generate", examples=[
    ("cw-context app.py:40-61 -m 'set the timeout to 30' | cw-generate | cw-apply", "edit a file"),
    ("cw-generate app.cwa -n 4 --seed 7 -o edit.cwa", "the best of four candidates, into a file"),
    ("cw-generate app.cwa --text", "only the new text of the region"),
])
@click.argument("source", metavar="[CONTEXT|ENCODING|-]", default="-")
@click.option("-n", "--candidates", metavar="K", type=click.IntRange(1, 64), default=1, show_default=True,
              help="decode K candidates and take the best; the first is greedy, the others are drawn")
@click.option("--temperature", metavar="T", type=click.FloatRange(min=0), callback=_finite,
              help="of drawn candidates; 0 is greedy  [default: 0, or 0.8 after the first]")
@click.option("--top-k", metavar="N", type=click.IntRange(0, 1 << 30), default=0,
              help="draw from the N likeliest tokens; 0 from all")
@click.option("--top-p", metavar="P", type=click.FloatRange(0, 1, min_open=True), callback=_finite, default=1.0,
              help="draw from the likeliest tokens that make up P")
@click.option("--min-p", metavar="P", type=click.FloatRange(0, 1, max_open=True), callback=_finite, default=TAIL,
              show_default=True, help="draw from tokens at least P times as likely as the likeliest; 0 is off")
@click.option("--repetition-penalty", metavar="R", type=click.FloatRange(min=0, min_open=True), callback=_finite, default=1.0,
              help="make tokens of the answer so far less likely; 1 is off")
@click.option("--seed", metavar="N", type=click.IntRange(0, (1 << 64) - 1), default=0, show_default=True, help="decides every draw")
@click.option("--max-tokens", metavar="N", type=click.IntRange(1, 1 << 30),
              help="longest answer  [default: twice the region and 64]")
@click.option("--stop", "stops", metavar="TEXT", multiple=True, help="end the answer before TEXT; may be repeated")
@click.option("--min-confidence", metavar="P", type=click.FloatRange(0, 1), callback=_finite, default=CONFIDENT, show_default=True,
              help="refuse an answer that the model gives less than P; 0 takes any, 0.8 nearly only right ones")
@click.option("--guidance/--no-guidance", default=True, help="let the JEPA predictions guide decoding, as in training")
@click.option("--stream", is_flag=True, help="print the text on standard error as it comes; with -n line by line, each after its candidate")
@click.option("--text", is_flag=True, help="print the region's new text instead of writing an edit")
@settings.options("model", "threads", "isa", "cache")
@cli.output_option
def app(source: str, stream: bool, text: bool, output: str | None, settings: settings.Settings, **options: Any) -> None:
    """Decode an edit from a context or an encoding, and write the best candidate that passes the gate.

    A candidate must end by itself, change something, not repeat itself, leave a file that parses no worse than before, and be one that the
    model is sure enough of.
    Exit code 4 says that none did."""
    from cromwell.contract import artifact
    from cromwell.contract.cache import Cache
    from cromwell.contract.engine import open_model
    from cromwell.contract.errors import CommandError
    from cromwell.generate.decode import Sampling

    sampling = Sampling(**options)
    if sampling.candidates > 1 and sampling.temperature == 0:
        raise CommandError(f"cw-generate: {sampling.candidates} candidates at temperature 0 would all be the same",
                           "leave out -n or --temperature 0")
    if any(not stop for stop in sampling.stops):
        raise CommandError("cw-generate: an empty --stop", "leave it out")
    name = "standard input" if source == "-" else source
    with cli.open_input(source) as incoming:
        given = artifact.read(incoming, name, {"context", "encoding"})
    # The output is opened first: what cannot be written should not be computed.
    with cli.output(output, binary=not text) as outgoing, open_model(settings) as model:
        if given.kind == "encoding" and given.meta["model"] != model.fingerprint:
            raise CommandError(f"{name}: encoded by another model ({given.meta['model']}, this one is {model.fingerprint})",
                               "run cw-encode again with this model, or name the other one with --model")
        cache = Cache.of(settings)
        key = _key(given, model.fingerprint, sampling)
        result = None if stream else cache.get(SPACE, key)  # there would be nothing to watch
        if result is not None:
            cli.detail("taken from the cache")
        else:
            result = _bytes(_generate(given, name, model, sampling, cache, settings.threads, stream))
            cache.put(SPACE, key, result)
        if text:
            edit = artifact.read(io.BytesIO(result), "edit", {"edit"})
            result = edit.arrays[f"candidate.{edit.meta['best']}"].data
        outgoing.write(result)


def _key(given: Artifact, fingerprint: str, sampling: Sampling) -> str:
    """Key of the stored result: everything that its bytes depend on."""
    import zstandard

    from cromwell import __version__
    from cromwell.contract.artifact import content_hash
    from cromwell.contract.cache import content_key

    return content_key(SPACE, __version__, zstandard.__version__, content_hash(given), fingerprint, repr(sampling))


def _bytes(edit: Artifact) -> bytes:
    from cromwell.contract import artifact

    out = io.BytesIO()
    artifact.write(edit, out)
    return out.getvalue()


def _input(given: Artifact, name: str, model: Model) -> tuple[array[int], list[Pixels]]:
    """Tokens and pictures to feed. CommandError for an encoding that holds no edit prompt."""
    from cromwell.contract.errors import CommandError
    from cromwell.contract.model_input import picture_tiles, prompt_tokens
    from cromwell.contract.prefix import IMAGE_ID, Pixels
    from cromwell.contract.prompt import SPECIAL_TOKENS

    if given.kind == "context":
        return array("i", prompt_tokens(given.meta, given.arrays, model.tokenizer)), picture_tiles(given.arrays, model.info.max_tiles)
    tokens = array("i")
    tokens.frombytes(given.arrays["tokens"].data)
    pictures = [Pixels(given.arrays[f"pixels.{number}"].data, grid["rows"], grid["cols"])
                for number, grid in enumerate(given.meta["tiles"])]
    if not tokens or tokens[-1] != SPECIAL_TOKENS.index("<EDIT_START>") or tokens.count(IMAGE_ID) != len(pictures):
        raise CommandError(f"{name}: its tokens are no edit prompt", "run cw-encode again")
    return tokens, pictures


def _generate(given: Artifact, name: str, model: Model, sampling: Sampling, cache: Cache, threads: int, stream: bool) -> Artifact:
    """The edit. CommandError with exit code 4 when no candidate passes the gate."""
    from cromwell.contract import artifact
    from cromwell.contract.errors import CommandError
    from cromwell.contract.model_input import region_tokens
    from cromwell.generate.decode import answer_room, drafts
    from cromwell.generate.gate import Gate
    from cromwell.generate.restore import restore

    meta, region, target = given.meta, given.meta["region"], given.arrays["target"]
    tokens, pictures = _input(given, name, model)
    room = answer_room(tokens, len(pictures), model.info.max_positions, sampling.max_tokens, name)
    old = target.data[region["start_byte"]:region["end_byte"]]
    gate = Gate(meta["path"], target.data, region["start_byte"], region["end_byte"], meta["eol"], region_tokens(tokens))
    arrays, verdicts, reasons = {"target": target}, [], []
    texts: dict[bytes, int] = {}
    with _Watch(model, sampling.candidates, stream) as watch:
        for number, draft in enumerate(drafts(model, tokens, pictures, room, sampling, cache, threads, watch.token)):
            new = restore(old, draft.text, meta["eol"])
            repeated = f"same as candidate {texts[new]}" if new in texts else None
            reason = repeated or gate.refusal(new, draft.tokens, draft.stop) or draft.doubt(sampling)
            texts.setdefault(new, number)
            arrays[f"candidate.{number}"] = artifact.bytes_array(new)
            verdicts.append({"accepted": reason is None, "reason": reason, "log_probability": draft.log_probability,
                             "tokens": len(draft.tokens), "stop": draft.stop})
            reasons.append(reason or "accepted")
    for number, reason in enumerate(reasons):
        cli.detail(f"candidate {number}: {reason}")
    accepted = [number for number, verdict in enumerate(verdicts) if verdict["accepted"]]
    if not accepted:
        found = ", ".join(dict.fromkeys(reasons)) if sampling.candidates > 1 else reasons[0]
        tries = [] if sampling.candidates > 1 else ["-n 8"]
        tries += [f"--max-tokens {2 * room}"] if any(reason.startswith("cut off") for reason in reasons) else []
        tries += ["--min-confidence 0"] if any(reason.startswith("unsure") for reason in reasons) else []
        raise CommandError(f"{meta['path']}:{region['start_line']}-{region['end_line']}: no acceptable edit found ({found})",
                           f"try {', '.join([*tries, 'fewer lines or other words'])}; --stream shows what was decoded", cli.EXIT_NO_EDIT)
    best = max(accepted, key=lambda number: (verdicts[number]["log_probability"], -number))
    arguments = {"candidates": sampling.candidates, "temperature": sampling.temperature, "top_k": sampling.top_k, "top_p": sampling.top_p,
                 "min_p": sampling.min_p, "repetition_penalty": sampling.repetition_penalty, "max_tokens": sampling.max_tokens,
                 "stop": list(sampling.stops), "guidance": sampling.guidance, "min_confidence": sampling.min_confidence}
    entry = artifact.lineage_entry("cw-generate", arguments, {given.kind: artifact.content_hash(given)}, model.fingerprint, sampling.seed)
    kept = ("path", "region", "eol", "encoding", "mode", "instruction")
    edit_meta = {**{field: meta[field] for field in kept}, "model": model.fingerprint, "candidates": verdicts, "best": best}
    return artifact.Artifact("edit", edit_meta, arrays, [*given.lineage, entry])


class _Watch:
    """Shows decoding on standard error: the text itself when asked, else a counter on a terminal, else nothing."""

    def __init__(self, model: Model, count: int, stream: bool):
        self.tokenizer, self.count, self.stream = model.tokenizer, count, stream
        self.token: Callable[[int, int], None] | None = None
        if stream:
            self.token = self._text if count == 1 else self._lines
        elif words.shows_progress():
            self.token = self._counter
        self.lines: dict[int, bytes] = {}  # of several candidates: what each has of its last line
        self.tokens, self.started, self.shown = 0, 0.0, 0.0

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *_: Any) -> None:
        for number, rest in sorted(self.lines.items()):
            if rest:
                self._line(number, rest)
        if self.tokens:
            self._write(b"\n" if self.stream else b"\r\x1b[K")

    def _write(self, data: bytes) -> None:
        if sys.stderr is not None:
            sys.stderr.flush()
            sys.stderr.buffer.write(data)
            sys.stderr.buffer.flush()

    def _bytes(self, token: int) -> bytes:
        # The text of a model must not steer a terminal.
        return bytes(byte if byte >= 32 or byte in b"\n\t" else ord("?") for byte in self.tokenizer.decode([token]))

    def _text(self, _number: int, token: int) -> None:
        self.tokens += 1
        self._write(self._bytes(token))

    def _lines(self, number: int, token: int) -> None:
        *done, self.lines[number] = (self.lines.get(number, b"") + self._bytes(token)).split(b"\n")
        for line in done:
            self._line(number, line)

    def _line(self, number: int, line: bytes) -> None:
        self._write(b"%d: %s\n" % (number, line))

    def _counter(self, _number: int, _token: int) -> None:
        now = time.perf_counter()
        self.started = self.started or now
        self.tokens += 1
        if now - self.shown > 0.1:
            self.shown = now
            rate = self.tokens / max(1e-9, now - self.started)
            several = f"{self.count} candidates: " if self.count > 1 else ""
            self._write(f"\r{several}{self.tokens} tokens, {rate:.0f} tok/s\x1b[K".encode())


def main() -> None:
    cli.command_main(app)
