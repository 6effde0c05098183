"""Charts as data: the one form of plotting code that stands for each, and how far an answer is from it.

Answers are never executed: `parse` reads the one form from the syntax tree, and whatever is not of that form is no chart."""

from __future__ import annotations

import ast
import itertools
import json
from typing import NamedTuple

KINDS = ("line", "scatter", "bar", "barh", "stacked", "hist", "pie")
MAX_CODE = 20_000  # bytes of an answer that is looked at
MAX_SERIES, MAX_POINTS = 8, 200
HEAD = "import matplotlib.pyplot as plt\n\nfig, ax = plt.subplots()\n"
TAIL = "plt.show()\n"

Number = int | float


class ChartError(ValueError):
    """Code that is not of the one form; the text says where it departs from it."""


class Series(NamedTuple):
    """One series; `xs` are numbers (line, scatter), categories (bars, pie) or the bins' edges, one more than `ys` (hist)."""

    xs: tuple[Number | str, ...]
    ys: tuple[Number, ...]
    label: str = ""


class Chart(NamedTuple):
    """What a chart says; colours, sizes and fonts are no part of it."""

    kind: str
    series: tuple[Series, ...]
    title: str = ""
    x_label: str = ""
    y_label: str = ""


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)  # which is Python, too


def _list(values: tuple[Number | str, ...]) -> str:
    return "[" + ", ".join(_text(value) if isinstance(value, str) else repr(value) for value in values) + "]"


def write(chart: Chart) -> str:
    """The plotting code of a chart: the one form, which `parse` reads back."""
    lines = []
    for number, series in enumerate(chart.series):
        label = f", label={_text(series.label)}" if series.label else ""
        xs, ys = _list(series.xs), _list(series.ys)
        if chart.kind in ("line", "scatter"):
            lines.append(f"ax.{'plot' if chart.kind == 'line' else 'scatter'}({xs}, {ys}{label})")
        elif chart.kind == "pie":
            lines.append(f'ax.pie({ys}, labels={xs}, autopct="%d%%")')
        elif chart.kind == "hist":
            lines.append(f"ax.stairs({ys}, {xs}, fill=True{label})")
        else:
            below = f", bottom={_list(chart.series[0].ys)}" if number else ""
            lines.append(f"ax.{'barh' if chart.kind == 'barh' else 'bar'}({xs}, {ys}{below}{label})")
    if chart.title:
        lines.append(f"ax.set_title({_text(chart.title)})")
    if chart.x_label:
        lines.append(f"ax.set_xlabel({_text(chart.x_label)})")
    if chart.y_label:
        lines.append(f"ax.set_ylabel({_text(chart.y_label)})")
    if any(series.label for series in chart.series):
        lines.append("ax.legend()")
    return HEAD + "".join(line + "\n" for line in lines) + TAIL


def parse(code: str) -> Chart:
    """The chart that some code in the one form draws. Raises ChartError for any other code, however harmless."""
    if len(code) > MAX_CODE:
        raise ChartError(f"more than {MAX_CODE} characters")
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ChartError(f"no Python: {error}") from None
    head = ast.parse(HEAD).body
    if len(body) < 4 or list(map(ast.dump, body[:2] + body[-1:])) != list(map(ast.dump, head + ast.parse(TAIL).body)):
        raise ChartError("does not begin and end as the one form does")
    names: dict[str, str] = {}
    drawn: list[tuple[str, Series]] = []
    for statement in body[2:-1]:
        name, values, keywords = _call(statement)
        if name in ("set_title", "set_xlabel", "set_ylabel"):
            if name in names or len(values) != 1 or not isinstance(values[0], str) or keywords:
                raise ChartError(f"ax.{name}: takes one text, once")
            names[name] = values[0]
        elif name == "legend":
            if values or keywords:
                raise ChartError("ax.legend: takes nothing")
        else:
            drawn.append(_series(name, values, keywords, drawn))
    kinds = {kind for kind, _ in drawn}
    if not drawn or len(drawn) > MAX_SERIES:
        raise ChartError(f"{len(drawn)} series")
    kind = drawn[0][0] if len(kinds) == 1 else "stacked" if [kind for kind, _ in drawn] == ["bar", "stacked"] else ""
    if not kind or kind in ("barh", "pie", "hist", "bar", "stacked") and len(drawn) != 1 + (kind == "stacked"):
        raise ChartError("series that do not make one chart")
    names = {"set_title": "", "set_xlabel": "", "set_ylabel": ""} | names
    return Chart(kind, tuple(series for _, series in drawn), names["set_title"], names["set_xlabel"], names["set_ylabel"])


def _call(statement: ast.stmt) -> tuple[str, list, dict]:
    """Name, values and keyword values of `ax.NAME(...)` whose arguments are literals."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id == "ax"
        and all(keyword.arg for keyword in call.keywords)
    ):
        raise ChartError(f"line {statement.lineno}: not a call of ax")
    try:
        values = [ast.literal_eval(value) for value in call.args]
        keywords = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (ValueError, TypeError, RecursionError, MemoryError):
        raise ChartError(f"line {statement.lineno}: an argument is no literal") from None
    return call.func.attr, values, keywords


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12


def _numbers(values: object) -> bool:
    return isinstance(values, list) and 0 < len(values) <= MAX_POINTS and all(map(_is_number, values))


def _texts(values: object) -> bool:
    return isinstance(values, list) and 0 < len(values) <= MAX_POINTS and all(isinstance(value, str) for value in values)


def _series(name: str, values: list, keywords: dict, before: list[tuple[str, Series]]) -> tuple[str, Series]:
    """Kind and series of a drawing call; `before` are those of the calls before it."""
    label = keywords.pop("label", "")
    if name == "pie":
        values, extra = [keywords.pop("labels", None), *values], keywords.pop("autopct", "") == "%d%%"
    elif name == "stairs":
        values, extra = values[::-1], keywords.pop("fill", None) is True
    else:
        extra = True
    kind = {"plot": "line", "scatter": "scatter", "bar": "bar", "barh": "barh", "stairs": "hist", "pie": "pie"}.get(name)
    if kind == "bar" and "bottom" in keywords:
        kind, extra = "stacked", len(before) == 1 and keywords.pop("bottom") == list(before[0][1].ys)
    readable = _numbers if kind in ("line", "scatter", "hist") else _texts
    fits = kind and extra and not keywords and isinstance(label, str) and len(values) == 2 and readable(values[0]) and _numbers(values[1])
    if not fits or len(values[0]) != len(values[1]) + (kind == "hist"):
        raise ChartError(f"ax.{name}: arguments are not those of the one form")
    if kind == "hist" and any(left >= right for left, right in itertools.pairwise(values[0])):
        raise ChartError("ax.stairs: edges do not increase")
    if kind == "pie" and (min(values[1]) < 0 or not sum(values[1])):
        raise ChartError("ax.pie: shares below 0, or none")
    return str(kind), Series(tuple(values[0]), tuple(values[1]), label)


class ChartScore(NamedTuple):
    """How near an answer is; shares and errors from 0 to 1."""

    parses: bool  # of the one form
    kind: bool
    series: bool  # as many series of as many points
    labels: float  # share of title, axis labels, legend and categories that are right letter for letter
    error: float  # mean distance of the numbers over the gold's range, 1 at most each; a number that has no partner counts 1
    pixels: float  # overlap of the ink of both, drawn plainly
    exact: bool  # the same chart


NOTHING = ChartScore(False, False, False, 0.0, 1.0, 0.0, False)


def score(gold: str, answer: str) -> ChartScore:
    """Compare an answer with a gold, which must be in the one form; both are drawn again, by `charts_draw.plain`."""
    from .charts_draw import overlap, plain

    right = parse(gold)
    try:
        given = parse(answer)
    except ChartError:
        return NOTHING
    same = given == right
    return ChartScore(
        True,
        given.kind == right.kind,
        [len(series.ys) for series in given.series] == [len(series.ys) for series in right.series],
        _labels(right, given),
        _error(right, given),
        1.0 if same else overlap(plain(right), plain(given)),
        same,
    )


def _labels(right: Chart, given: Chart) -> float:
    """Share of the words on the gold's chart that the answer has at their places; 1.0 where neither has any."""

    def words(chart: Chart) -> dict[object, str]:
        found: dict[object, str] = {"title": chart.title, "x": chart.x_label, "y": chart.y_label}
        for i, series in enumerate(chart.series):
            found["legend", i] = series.label
            found |= {("category", i, j): x for j, x in enumerate(series.xs) if isinstance(x, str)}
        return {key: text for key, text in found.items() if text}

    one, other = words(right), words(given)
    every = set(one) | set(other)
    return sum(one.get(key) == other.get(key) for key in every) / len(every) if every else 1.0


def _error(right: Chart, given: Chart) -> float:
    """Mean error of all numbers, x and y apart, each over the range of the gold's on that axis."""
    total = count = 0.0
    for axis in ("xs", "ys"):
        rows = [[x for x in getattr(series, axis) if _is_number(x)] for series in right.series]
        others = [[x for x in getattr(series, axis) if _is_number(x)] for series in given.series]
        flat = [x for row in rows for x in row]
        scale = (max(flat) - min(flat) or abs(flat[0]) or 1) if flat else 1
        for i in range(max(len(rows), len(others))):
            row, other = (part[i] if i < len(part) else [] for part in (rows, others))
            near = sum(min(1.0, abs(x - y) / scale) for x, y in zip(row, other, strict=False))
            longest = max(len(row), len(other))
            total += near + longest - min(len(row), len(other))
            count += longest
    return total / count if count else 0.0
