"""Which lines of a file are to be rewritten: given as FILE:A-B, named as FILE::symbol, or found from the instruction."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from cromwell.contract.errors import CommandError
from cromwell.contract.text import Text

HOW_TO_NAME = "name the lines, FILE:START-END, or a function or class, FILE::NAME"


class Place(NamedTuple):
    """A file, and what the command line says about the lines meant: a range, a symbol, or nothing."""

    path: str
    lines: tuple[int, int] | None = None
    symbol: str | None = None


class Settled(NamedTuple):
    """The lines to rewrite, from 1, inclusive (1..0 in an empty file)."""

    first_line: int
    last_line: int
    how: str
    """What settled them: "lines", "symbol NAME", "instruction" or "whole file"."""
    is_choice: bool = False
    """Chosen here, not by the user."""
    left_out: str = ""
    """What the chosen lines leave out that belongs to the same change, if anything."""
    runners_up: tuple[str, ...] = ()
    """Other lines that were weighed."""


def parse_place(spec: str) -> Place:
    """Takes FILE, FILE:A, FILE:A-B or FILE::SYMBOL apart. CommandError for a range that is none."""
    if os.path.lexists(spec):
        return Place(spec)
    path, separator, symbol = spec.partition("::")
    if separator and path:
        if not symbol:
            raise CommandError(f"{spec}: no name after ::", HOW_TO_NAME)
        return Place(path, symbol=symbol)
    path, separator, numbers = spec.rpartition(":")
    if not separator or not path:
        return Place(spec)
    match = re.fullmatch(r"(\d{1,18})(?:-(\d{1,18}))?", numbers, re.ASCII)
    if match is None:
        if os.path.lexists(path):
            raise CommandError(f"{spec}: {numbers!r} is no range of lines", "write START-END, counted from 1, such as 10-24")
        return Place(spec)
    first = int(match[1])
    return Place(path, lines=(first, int(match[2]) if match[2] else first))


def given_lines(place: Place, text: Text) -> tuple[int, int]:
    """The lines given by number or by name, or all of them. CommandError when they are not in the file."""
    if place.symbol is not None:
        return _named(place, text)[:2]
    if place.lines is None:
        return 1, text.line_count
    first, last = place.lines
    where = f"{place.path}:{first}-{last}"
    if first < 1:
        raise CommandError(f"{where}: there is no line 0", "lines are counted from 1")
    if last < first:
        raise CommandError(f"{where}: the region ends before it starts", f"lines are counted from 1; did you mean {max(last, 1)}-{first}?")
    if last > text.line_count:
        hint = f"give lines within 1-{text.line_count}" if text.line_count else "leave out the lines of an empty file"
        raise CommandError(f"{where}: the file has {text.line_count} lines", hint)
    return first, last


def _named(place: Place, text: Text) -> Settled:
    """The lines of the symbol. CommandError unless exactly one definition has that name."""
    from cromwell.prepare.symbols import definitions, matching

    where = f"{place.path}::{place.symbol}"
    found = definitions(place.path, text.lines(1, text.line_count))
    if found is None:
        raise CommandError(f"{where}: no grammar for {os.path.splitext(place.path)[1] or 'files without a suffix'} is installed",
                           f"give the lines instead: {place.path}:START-END")
    chosen = matching(found, place.symbol or "")
    if not chosen:
        import difflib

        names = {definition.name for definition in found} | {definition.name.rpartition(".")[2] for definition in found}
        near = difflib.get_close_matches(place.symbol or "", sorted(names), 3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"give the lines instead: {place.path}:START-END"
        raise CommandError(f"{where}: no function or class of that name", hint)
    if len(chosen) > 1:
        places = ", ".join(f"{definition.name} (line {definition.first_line})" for definition in chosen[:5])
        raise CommandError(f"{where}: {len(chosen)} definitions have that name", f"say which: {places}")
    return Settled(chosen[0].first_line, chosen[0].last_line, f"symbol {chosen[0].name}")


def _found(place: Place, text: Text, instruction: str) -> Settled:
    """The lines that the instruction means. CommandError (exit 4) when it names nothing in a file too long to take whole."""
    from cromwell.prepare.find import SMALL_FILE_LINES, find_regions
    from cromwell.prepare.symbols import outline

    whole = text.lines(1, text.line_count)
    # Not splitlines: form feeds and U+2028 are no line ends here.
    lines = re.findall(r"[^\n]*\n|[^\n]+", whole.decode("utf-8"))
    regions = find_regions(instruction, lines, outline(place.path, whole))
    if regions:
        best = regions[0]
        left_out = f"{best.missed} more line{'s' if best.missed > 1 else ''} of {best.name or 'the file'} with the same names left out"
        runners_up = tuple(f"{region.first_line}-{region.last_line}: {region.name or 'outside functions'}, score {region.score:.1f}"
                           for region in regions[:4])
        return Settled(best.first_line, best.last_line, "instruction", True, left_out if best.missed else "", runners_up)
    if text.line_count <= SMALL_FILE_LINES:
        return Settled(1, text.line_count, "whole file", True)
    raise CommandError(f"{place.path}: nothing that the instruction names is in its {text.line_count} lines", HOW_TO_NAME, exit_code=4)


def settle(place: Place, text: Text, instruction: str) -> Settled:
    """The lines to rewrite."""
    if place.symbol is not None:
        return _named(place, text)
    if place.lines is not None:
        return Settled(*given_lines(place, text), "lines")
    return _found(place, text, instruction)
