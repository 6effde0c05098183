"""Shows why files were chosen: every file's score and what each factor adds to it, as a table, as JSON, or as a picture (SVG)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cromwell.prepare.tree import quoted

if TYPE_CHECKING:
    from cromwell.prepare.rank import Scored

TABLE_FILES = 40
"""Rows of the table; JSON has them all."""
PLOT_FILES = 20
NAMED_FACTORS = 8
"""Factors with a colour of their own in the picture; the others are drawn together."""
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee8866", "#44bb99", "#bbbbbb")
"""Paul Tol's bright scheme, told apart by the colour-blind too; the last one is for all other factors."""


def table(scores: Sequence[Scored]) -> list[str]:
    """Lines of a table: total, path, and what each factor adds, the largest first."""
    if not scores:
        return ["no file has a score"]
    rows = [f"{'score':>8}  file: what each factor adds (base {scores[0].factors.get('base', 0.0):+.2f} in all)"]
    for scored in scores[:TABLE_FILES]:
        parts = sorted(((name, value) for name, value in scored.factors.items() if name != "base" and abs(value) >= 0.005),
                       key=lambda part: (-abs(part[1]), part[0]))
        adds = ", ".join(f"{name} {value:+.2f}" for name, value in parts)
        rows.append(f"{scored.total:8.2f}  {quoted(scored.path)}: {adds or 'nothing'}")
    if len(scores) > TABLE_FILES:
        rows.append(f"{len(scores) - TABLE_FILES} more files; --list --json --explain has them all")
    return rows


def as_json(scores: Sequence[Scored]) -> list[dict[str, Any]]:
    """Every file's score, best first."""
    return [{"path": scored.path, "score": round(scored.total, 6), "factors": {name: round(value, 6) for name, value in
                                                                               sorted(scored.factors.items())}} for scored in scores]


def svg(scores: Sequence[Scored], title: str) -> str:
    """A picture of the best files: a bar a file, what its factors add stacked to the right of zero, what they take away to the left."""
    top = scores[:PLOT_FILES]
    weight: dict[str, float] = {}
    for scored in top:
        for name, value in scored.factors.items():
            if name != "base":
                weight[name] = weight.get(name, 0.0) + abs(value)
    named = sorted(weight, key=lambda name: (-weight[name], name))[:NAMED_FACTORS]
    bars: list[tuple[str, float, list[tuple[str, float]]]] = []
    for scored in top:
        parts = [(name, scored.factors.get(name, 0.0)) for name in named]
        parts.append(("others", sum(value for name, value in scored.factors.items() if name not in named and name != "base")))
        bars.append((scored.path, scored.total, parts))
    most = max((sum(value for _, value in parts if value > 0) for _, _, parts in bars), default=0.0)
    least = min((sum(value for _, value in parts if value < 0) for _, _, parts in bars), default=0.0)
    left, width, row, head = 330, 560, 22, 64
    scale = width / ((most - least) or 1.0)
    zero = left - least * scale
    height = head + row * max(1, len(bars)) + 16
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 70}" height="{height}" '
           'font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>', f'<text x="10" y="20" font-size="14">{_xml(title, 120)}</text>']
    for number, name in enumerate([*named, "others"]):
        at = 10 + number * 105
        out.append(f'<rect x="{at}" y="32" width="10" height="10" fill="{COLOURS[number]}"/>')
        out.append(f'<text x="{at + 14}" y="41">{_xml(name, 14)}</text>')
    for number, (path, total, parts) in enumerate(bars):
        y = head + number * row
        label = path if len(path) <= 48 else "…" + path[-47:]
        out.append(f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{_xml(label, 48)}</text>')
        ends = {True: zero, False: zero}
        for part, (name, value) in enumerate(parts):
            size = abs(value) * scale
            x = ends[value > 0] if value > 0 else ends[False] - size
            ends[value > 0] += size if value > 0 else -size
            if size >= 0.05:
                out.append(f'<rect x="{x:.1f}" y="{y + 3}" width="{size:.1f}" height="{row - 7}" fill="{COLOURS[part]}">'
                           f"<title>{_xml(name, 60)} {value:+.2f}</title></rect>")
        out.append(f'<text x="{ends[True] + 6:.1f}" y="{y + 14}">{total:.2f}</text>')
    out.append(f'<line x1="{zero:.1f}" y1="{head - 4}" x2="{zero:.1f}" y2="{height - 8}" stroke="black"/></svg>')
    return "\n".join(out) + "\n"


def _xml(text: str, most: int) -> str:
    """Text for a picture: no control characters, no lone surrogates, not too long."""
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    short = clean if len(clean) <= most else clean[:most - 1] + "…"
    return short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
