"""Tables and mock-ups as layout trees: the one Markdown and the one HTML that stand for each, and how far an answer is from them."""

from __future__ import annotations

import html
from html.parser import HTMLParser
from typing import NamedTuple

from .pictures import edit_distance

MAX_CODE = 20_000  # characters of an answer that are looked at
MAX_NODES = 300
VOID = ("input", "hr")  # elements that hold nothing


class Node(NamedTuple):
    """An element. It holds either a text or children, or neither."""

    tag: str
    text: str = ""
    children: tuple[Node, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()  # sorted by name; the value of `checked` is ""


def to_html(nodes: tuple[Node, ...], indent: int = 0) -> str:
    """The one HTML of some elements: a line each, or one a child in between, two spaces a level,
    attributes by name and in double quotes."""
    lines = []
    for node in nodes:
        shown = "".join(f" {name}" if not value else f' {name}="{html.escape(value)}"' for name, value in node.attributes)
        head = " " * indent + f"<{node.tag}{shown}>"
        if node.tag in VOID:
            lines.append(head + "\n")
        elif node.children:
            lines.append(head + "\n" + to_html(node.children, indent + 2) + " " * indent + f"</{node.tag}>\n")
        else:
            lines.append(head + html.escape(node.text, quote=False) + f"</{node.tag}>\n")
    return "".join(lines)


class _Reader(HTMLParser):
    """Collects elements as a tree; what is not closed, or closed without being open, is taken as people's browsers do: leniently."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[tuple[str, tuple, list, list]] = [("", (), [], [])]  # tag, attributes, texts, children
        self.count = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count += 1
        if self.count > MAX_NODES:
            raise ValueError(f"more than {MAX_NODES} elements")
        self.stack.append((tag, tuple(sorted((name, value or "") for name, value in attrs)), [], []))
        if tag in VOID:
            self._close()

    def handle_endtag(self, tag: str) -> None:
        if any(tag == open_tag for open_tag, *_ in self.stack[1:]) and tag not in VOID:
            while self.stack[-1][0] != tag:
                self._close()
            self._close()

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.stack[-1][2].append(" ".join(data.split()))

    def _close(self) -> None:
        tag, attributes, texts, children = self.stack.pop()
        self.stack[-1][3].append(Node(tag, " ".join(texts), tuple(children), attributes))

    def finish(self) -> tuple[Node, ...]:
        self.close()
        while len(self.stack) > 1:
            self._close()
        return tuple(self.stack[0][3])


def from_html(text: str) -> tuple[Node, ...]:
    """The elements of an HTML fragment. Raises ValueError when it is too long or holds none."""
    if len(text) > MAX_CODE:
        raise ValueError(f"more than {MAX_CODE} characters")
    reader = _Reader()
    reader.feed(text)
    nodes = reader.finish()
    if not nodes:
        raise ValueError("no element")
    return nodes


def _same(one: Node, other: Node) -> float:
    """The cost of turning one node into another: 0 to 1; 1 when their tags differ, else what of text and attributes differs."""
    if one.tag != other.tag:
        return 1.0
    mine, theirs = (node.text + "".join(f"\n{name}={value}" for name, value in node.attributes) for node in (one, other))
    return edit_distance(mine, theirs) / max(1, len(mine), len(theirs))


def tree_distance(one: tuple[Node, ...], other: tuple[Node, ...]) -> float:
    """The least cost of insertions and deletions (1 each) and changes (`_same`) of nodes between two ordered trees
    (Zhang and Shasha, SIAM J. Comput. 18, 1989)."""

    def flattened(nodes: tuple[Node, ...]) -> tuple[list[Node], list[int], list[int]]:
        """Nodes in post-order, the first leaf below each, and the key roots."""
        order: list[Node] = []
        leaves: list[int] = []

        def visit(node: Node) -> int:
            first = [visit(child) for child in node.children]
            order.append(node)
            leaves.append(first[0] if first else len(order) - 1)
            return leaves[-1]

        visit(Node("", children=nodes))
        return order, leaves, sorted({leaf: i for i, leaf in enumerate(leaves)}.values())

    (nodes_a, leaf_a, roots_a), (nodes_b, leaf_b, roots_b) = flattened(one), flattened(other)
    between = [[0.0] * len(nodes_b) for _ in nodes_a]
    for i in roots_a:
        for j in roots_b:
            a, b = leaf_a[i], leaf_b[j]
            rows = [[0.0] * (j - b + 2) for _ in range(i - a + 2)]
            for x in range(1, i - a + 2):
                rows[x][0] = x
            rows[0] = [float(y) for y in range(j - b + 2)]
            for x in range(1, i - a + 2):
                for y in range(1, j - b + 2):
                    p, q = a + x - 1, b + y - 1
                    least = min(rows[x - 1][y], rows[x][y - 1]) + 1
                    if leaf_a[p] == a and leaf_b[q] == b:
                        rows[x][y] = min(least, rows[x - 1][y - 1] + _same(nodes_a[p], nodes_b[q]))
                        between[p][q] = rows[x][y]
                    else:
                        rows[x][y] = min(least, rows[leaf_a[p] - a][leaf_b[q] - b] + between[p][q])
    return between[-1][-1]


def size(nodes: tuple[Node, ...]) -> int:
    """How many nodes there are."""
    return sum(1 + size(node.children) for node in nodes)


def mockup_score(gold: str, answer: str) -> float:
    """Tree similarity of two HTML fragments, 0 to 1: one minus the edit distance over the nodes of the larger. 0 for what is no HTML."""
    right = from_html(gold)
    try:
        given = from_html(answer)
    except ValueError:
        return 0.0
    return max(0.0, 1 - tree_distance(right, given) / max(size(right), size(given)))


def to_markdown(rows: list[list[str]], numeric: list[bool]) -> str:
    """The one Markdown table of some rows, the first of them the heads; columns of numbers are right-aligned, cells are not padded."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("---:" if right else "---" for right in numeric) + "|")
    return "".join(line + "\n" for line in lines)


def from_markdown(text: str) -> list[list[str]]:
    """The rows of a Markdown table, without the line below its heads. Raises ValueError when there is none."""
    if len(text) > MAX_CODE:
        raise ValueError(f"more than {MAX_CODE} characters")
    rows = []
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("|"):
            cells = line[1:].removesuffix("|").replace("\\|", "\0").split("|")
            rows.append([cell.strip().replace("\0", "|") for cell in cells])
    if len(rows) < 2 or not all(cell and not cell.strip(":-") for cell in rows[1]):
        raise ValueError("no Markdown table")
    return [rows[0], *rows[2:]]


def table_score(gold: str, answer: str) -> float:
    """Share of cells, of the larger of the two either way, that are equal letter for letter at their places. 0 for what is no table."""
    right = from_markdown(gold)
    try:
        given = from_markdown(answer)
    except ValueError:
        return 0.0
    height = max(len(right), len(given))
    width = max(map(len, right + given))
    equal = sum(one == other for row, line in zip(right, given, strict=False) for one, other in zip(row, line, strict=False))
    return equal / (height * width)
