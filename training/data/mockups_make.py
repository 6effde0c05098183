"""Tables and mock-ups by chance, as layout trees with their Markdown or HTML."""

from __future__ import annotations

from random import Random

from .mockups import Node, to_html, to_markdown
from .mockups_draw import draw_look, draw_page, draw_table
from .pictures import Sample
from .pictures_fonts import Face
from .pictures_words import DAYS, MONTHS, Words

ACTIONS = tuple("Save,Cancel,Send,Submit,Delete,Edit,Search,Sign in,Log out,Next,Back,Apply,Reset,Buy,Add,Close".split(","))
FIELDS = tuple("Name,Email,Password,Phone,City,Street,Country,Date,Subject,Message,Search,Amount,Title,Company".split(","))
FIRST_COLUMNS = ("word", "word", "phrase", "month")
COLUMNS = ("word", "integer", "integer", "decimal", "share", "money", "flag", "date")
TRIES = 20


def table_sample(rng: Random, words: Words, faces: list[Face], max_tiles: int) -> Sample:
    """A table, its picture and its Markdown."""
    for _ in range(TRIES):
        rows, numeric = table(rng, words)
        look = draw_look(rng, faces)
        pixels = draw_table(rows, numeric, look, max_tiles)
        if pixels is not None:
            path = rng.choice((b"README.md", b"table.md", b"notes.md"))
            return Sample("table", pixels, to_markdown(rows, numeric).encode(), path, look.facts())
    raise ValueError("no table fits")


def mockup_sample(rng: Random, words: Words, faces: list[Face], max_tiles: int) -> Sample:
    """A mock-up, its picture and its HTML."""
    for _ in range(TRIES):
        nodes = page(rng, words, 4 if max_tiles == 1 else 8)
        look = draw_look(rng, faces)
        pixels = draw_page(nodes, look, max_tiles)
        if pixels is not None:
            return Sample("mockup", pixels, to_html(nodes).encode(), rng.choice((b"index.html", b"page.html", b"form.html")), look.facts())
    raise ValueError("no mock-up fits")


def table(rng: Random, words: Words) -> tuple[list[list[str]], list[bool]]:
    """Rows of cells, the first of them the heads, and which columns hold numbers."""
    columns, count = rng.randint(2, 5), rng.randint(1, 8)
    heads = words.distinct(columns)
    made = [_column(rng, words, count, first=i == 0) for i in range(columns)]
    return [heads, *([cells[row] for cells, _ in made] for row in range(count))], [numeric for _, numeric in made]


def _column(rng: Random, words: Words, count: int, first: bool) -> tuple[list[str], bool]:
    kind = rng.choice(FIRST_COLUMNS if first else COLUMNS)
    if kind in ("word", "phrase"):
        return [words.phrase(1 if kind == "word" else 2) for _ in range(count)], False
    if kind == "month":
        names = MONTHS if count > len(DAYS) or rng.random() < 0.6 else DAYS
        return list(names[:count]), False
    if kind == "flag":
        return [rng.choice(("yes", "no", "-")) for _ in range(count)], False
    if kind == "date":
        return [f"{rng.randint(1990, 2030)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}" for _ in range(count)], False
    top = 10 ** rng.randint(1, 5)
    numbers = [rng.randint(0, top) for _ in range(count)]
    places = rng.randint(1, 3)
    shapes = {"integer": "{:d}", "decimal": f"{{:.{places}f}}", "share": "{:d}%", "money": "{:,.2f}"}
    scale = 1 / 10**places if kind == "decimal" else 1
    return [shapes[kind].format(n % 101 if kind == "share" else n * scale if scale < 1 else n) for n in numbers], True


def page(rng: Random, words: Words, most: int) -> tuple[Node, ...]:
    """The elements of a page: a heading, then up to `most` blocks."""
    blocks = [_block(rng, words) for _ in range(rng.randint(1, rng.randint(1, most)))]
    head = [Node("h1", words.phrase(3))] if rng.random() < 0.8 else []
    menu = [Node("nav", children=tuple(Node("a", text) for text in words.distinct(rng.randint(2, 4))))] if rng.random() < 0.25 else []
    return (*menu, *head, *blocks)


def _block(rng: Random, words: Words) -> Node:
    kind = rng.choice(("p", "p", "h2", "form", "form", "ul", "ol", "card", "buttons", "hr"))
    if kind in ("p", "h2"):
        return Node(kind, _sentence(rng, words) if kind == "p" else words.phrase(3))
    if kind in ("ul", "ol"):
        return Node(kind, children=tuple(Node("li", words.phrase(3)) for _ in range(rng.randint(2, 5))))
    if kind == "buttons":
        return Node("div", children=tuple(_button(rng, words) for _ in range(rng.randint(1, 3))))
    if kind == "card":
        foot = (_button(rng, words),) if rng.random() < 0.5 else ()
        children = (Node("h2", words.phrase(2)), Node("p", _sentence(rng, words)), *foot)
        return Node("div", children=children, attributes=(("class", "card"),))
    if kind == "form":
        return Node("form", children=(*(node for _ in range(rng.randint(1, 4)) for node in _field(rng, words)), _button(rng, words)))
    return Node("hr")


def _button(rng: Random, words: Words) -> Node:
    return Node("button", rng.choice(ACTIONS) if rng.random() < 0.6 else words.phrase(2).capitalize())


def _field(rng: Random, words: Words) -> tuple[Node, ...]:
    """A label and an input, or a box to tick and its label."""
    text = rng.choice(FIELDS) if rng.random() < 0.6 else words.phrase(2).capitalize()
    if rng.random() < 0.25:
        ticked = (("checked", ""),) if rng.random() < 0.5 else ()
        return Node("input", attributes=(*ticked, ("type", "checkbox"))), Node("label", text)
    shown = (("placeholder", words.phrase(2)),) if rng.random() < 0.4 else ()
    return Node("label", text), Node("input", attributes=shown)


def _sentence(rng: Random, words: Words) -> str:
    return (" ".join(words.phrase(3).lower() for _ in range(rng.randint(1, 4))) + ".").capitalize()
