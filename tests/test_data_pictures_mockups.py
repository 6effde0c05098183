"""Tables and mock-ups: the one Markdown and HTML there and back, lenient reading of answers, scores, pictures."""

from __future__ import annotations

import functools
from random import Random

import numpy as np
import pytest

from training.data import mockups, mockups_draw, mockups_make, pictures_fonts
from training.data.mockups import Node
from training.data.pictures_words import Words

FACES, _ = pictures_fonts.find(pictures_fonts.SANS)
ROWS = [["City", "Size"], ["Bonn", "12"], ["a|b", "7"]]
TABLE = "| City | Size |\n|---|---:|\n| Bonn | 12 |\n| a\\|b | 7 |\n"
FORM = (
    Node("h1", "Sign in & out"),
    Node("form", children=(Node("label", "Name"), Node("input", attributes=(("placeholder", 'Ann "A"'),)), Node("button", "Send"))),
    Node("hr"),
)
HTML = """<h1>Sign in &amp; out</h1>
<form>
  <label>Name</label>
  <input placeholder="Ann &quot;A&quot;">
  <button>Send</button>
</form>
<hr>
"""


def test_the_one_markdown():
    assert mockups.to_markdown(ROWS, [False, True]) == TABLE
    assert mockups.from_markdown(TABLE) == ROWS
    padded = "text\n\n|  City | Size|\n| :-- | --: |\n| Bonn   | 12 |\n| a\\|b | 7\n"
    assert mockups.from_markdown(padded) == ROWS and mockups.table_score(TABLE, padded) == 1.0


def test_the_one_html():
    assert mockups.to_html(FORM) == HTML
    assert mockups.from_html(HTML) == FORM
    loose = HTML.replace("</form>", "").replace("<hr>", "</form><HR/>").replace("  ", "\t")
    assert mockups.from_html(loose) == FORM


def test_table_score():
    assert mockups.table_score(TABLE, TABLE.replace("12", "13")) == pytest.approx(5 / 6)
    assert mockups.table_score(TABLE, TABLE.replace("| Bonn | 12 |\n", "")) == pytest.approx(2 / 6)
    assert mockups.table_score(TABLE, TABLE + "| x | 1 |\n") == pytest.approx(6 / 8)
    assert mockups.table_score(TABLE, "City Size") == mockups.table_score(TABLE, "") == 0
    assert mockups.table_score(TABLE, "|" * 50_000) == 0


def test_mockup_score():
    assert mockups.mockup_score(HTML, HTML) == 1
    assert mockups.mockup_score(HTML, HTML.replace("<hr>\n", "")) == pytest.approx(1 - 1 / 6)
    assert mockups.mockup_score(HTML, HTML.replace("Send", "Lend")) == pytest.approx(1 - 0.25 / 6)
    assert mockups.mockup_score(HTML, "") == mockups.mockup_score(HTML, "words") == mockups.mockup_score(HTML, "<p>" * 5000) == 0
    assert mockups.mockup_score(HTML, "<b>") < 0.2


@functools.cache
def plain_distance(one: tuple[Node, ...], other: tuple[Node, ...]) -> float:
    """Distance of two forests by the recursion itself, on their last roots."""
    if not one or not other:
        return mockups.size(one) + mockups.size(other)
    a, b = one[-1], other[-1]
    return min(
        plain_distance(one[:-1] + a.children, other) + 1,
        plain_distance(one, other[:-1] + b.children) + 1,
        plain_distance(one[:-1], other[:-1]) + plain_distance(a.children, b.children) + (a.tag != b.tag or a.text != b.text),
    )


def test_tree_distance_is_the_recursion():
    rng = Random(1)

    def tree(depth: int) -> tuple[Node, ...]:
        return tuple(Node(rng.choice("ab"), "", tree(depth - 1) if depth else ()) for _ in range(rng.randint(0, 2)))

    for _ in range(60):
        one, other = tree(2), tree(2)
        assert mockups.tree_distance(one, other) == pytest.approx(plain_distance(one, other))


def test_samples_are_read_back_and_drawn():
    rng = Random(2)
    words = Words(rng, ["gamma", "delta"])
    tables = [mockups_make.table_sample(rng, words, FACES, tiles) for tiles in (1, 1, 4, 4, 4) for _ in range(5)]
    pages = [mockups_make.mockup_sample(rng, words, FACES, tiles) for tiles in (1, 1, 4, 4, 4) for _ in range(5)]
    for number, sample in enumerate(tables + pages):
        score = mockups.table_score if sample.kind == "table" else mockups.mockup_score
        height, width, _ = sample.pixels.shape
        assert score(sample.gold.decode(), sample.gold.decode()) == 1
        assert -(-height // 256) * -(-width // 256) <= (1 if number % 25 < 10 else 4)
        assert len(np.unique(sample.pixels)) > 1
    assert all(mockups.to_html(mockups.from_html(sample.gold.decode())) == sample.gold.decode() for sample in pages)


def test_what_does_not_fit_is_not_drawn():
    look = mockups_draw.draw_look(Random(3), FACES)
    assert mockups_draw.draw_table([["x" * 200]], [False], look, 4) is None
    assert mockups_draw.draw_page((Node("p", "y" * 200),), look, 4) is None
    assert mockups_draw.draw_page(tuple(Node("h1", "z") for _ in range(60)), look, 1) is None


def test_every_part_of_a_mockup_changes_the_picture():
    look = mockups_draw.draw_look(Random(4), FACES)
    pages = (FORM, FORM[1:], FORM[:2], (Node("ul", children=(Node("li", "a"),)),))
    drawn = {mockups_draw.draw_page(nodes, look, 4).tobytes() for nodes in pages}
    ticked = [Node("input", attributes=(*checked, ("type", "checkbox"))) for checked in ((), (("checked", ""),))]
    drawn |= {mockups_draw.draw_page((box, Node("label", "on")), look, 4).tobytes() for box in ticked}
    assert len(drawn) == 6
