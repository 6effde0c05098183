"""Gives the model's text the line ends of the file it goes into."""

from __future__ import annotations

from cromwell.contract.text import to_lf


def restore(old: bytes, new: bytes, eol: str) -> bytes:
    """The bytes that replace the region `old` of a file with line ends `eol`: `new` (LF) with that region's line ends.

    The last line ends as the region's last line does; where both kinds are mixed, an unchanged line keeps its own, and a changed one
    takes that of the line it stands for."""
    new = new.replace(b"\r\n", b"\n")
    if new and not new.endswith(b"\n"):
        new += b"\n"
    if eol == "mixed":
        new = _as_the_lines_were(old, new)
    elif eol != "lf":
        new = new.replace(b"\n", b"\r\n" if eol == "crlf" else b"\r")
    if old and not old.endswith((b"\n", b"\r") if eol == "cr" else b"\n"):
        new = new.removesuffix(b"\r\n" if eol in ("crlf", "mixed") and new.endswith(b"\r\n") else b"\r" if eol == "cr" else b"\n")
    return new


def _split(text: bytes) -> list[bytes]:
    """Lines with their ends."""
    lines = text.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def _as_the_lines_were(old: bytes, new: bytes) -> bytes:
    """Line ends for `new` (LF) from the lines of `old` (LF and CRLF)."""
    from cromwell.binding import diff_lines

    old_lines, new_lines = _split(old), _split(new)
    is_crlf = [line.endswith(b"\r\n") for line in old_lines]
    if old_lines and not old_lines[-1].endswith(b"\n"):  # the last line of the file has no end to take; what precedes it has
        is_crlf[-1] = is_crlf[-2] if len(is_crlf) > 1 else False
    old_text = to_lf(old, "mixed")
    changes = diff_lines(old_text if old_text.endswith(b"\n") else old_text + b"\n", new)
    ends: list[bool] = []
    line = 0
    for old_first, old_count, _, new_count in [*changes, (len(old_lines), 0, len(new_lines), 0)]:
        ends += is_crlf[line:old_first]
        for number in range(new_count):
            place = old_first + min(number, old_count - 1)
            ends.append(is_crlf[place] if 0 <= place < len(is_crlf) else bool(is_crlf) and is_crlf[0])
        line = old_first + old_count
    return b"".join(line[:-1] + b"\r\n" if crlf else line for line, crlf in zip(new_lines, ends, strict=True))
