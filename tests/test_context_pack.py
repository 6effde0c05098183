"""What is packed: chunks cover files, budgets hold to the token, excerpts are merged and sorted, equal input gives equal lines."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.context_memory import MemoryIndex
from cromwell import binding
from cromwell.contract import prompt
from cromwell.contract.errors import CommandError
from cromwell.contract.model_input import prompt_path
from cromwell.prepare.pack import Selection, fill, select, split_lines, weigh
from cromwell.prepare.pack.chunks import LEAST_LINES, MOST_LINES, cut
from cromwell.prepare.rank import Target
from cromwell.prepare.rank.history import History, Hunk, Record

SESSION = b'''"""Sessions."""

import socket

TIMEOUT = 30


class Session:
    """A connection to a host."""

    def __init__(self, host):
        self.host = host
        self.socket = socket.create_connection((host, 80), TIMEOUT)

    def close(self):
        """Ends the connection."""
        self.socket.close()

    def send(self, data):
        """Sends bytes."""
        self.socket.sendall(data)
'''
FILES = {
    "app/session.py": SESSION,
    "app/client.py": b"from app.session import Session\n\n\ndef open_client(host):\n    return Session(host)\n",
    "app/windows.py": b"\xef\xbb\xbfFIRST = 1\r\nSECOND = 2\r\n\r\n\r\ndef third():\r\n    return FIRST + SECOND\r\n",
    "tests/test_session.py": b"from app.session import Session\n\n\n" + b"\n\n".join(
        b"def test_number_%d():\n    session = Session('a')\n    assert session.host\n    session.close()\n" % n for n in range(40)),
    "CHANGES.md": b"# 1.2\n\n- a session can be closed\n\n" + b"".join(b"# 1.%d\n\n- older\n\n" % n for n in range(40)),
    "empty.py": b"",
}
PAST = History.build([
    Record("close sessions", (("CHANGES.md", "CHANGES.md", (Hunk(3, 0, 3, 1),)), ("app/session.py", "app/session.py", ()))),
    Record("say more", (("tests/test_session.py", "tests/test_session.py", (Hunk(10, 2, 10, 3),)),)),
])
TARGET, INSTRUCTION = Target("app/session.py"), "close the session on errors"


@pytest.fixture(scope="module")
def encode() -> Callable[[bytes], list[int]]:
    """The tokenizer of the model that ships."""
    return binding.Model(binding.default_model_path()).tokenizer.encode


@pytest.fixture(scope="module")
def index() -> MemoryIndex:
    """An index of FILES."""
    made = MemoryIndex(lambda blob: FILES[blob])
    made.move({path: path for path in FILES})
    return made


def prompt_size(selection: Selection, encode: Callable[[bytes], list[int]]) -> int:
    """What the excerpts add to a prompt."""
    texts = [(prompt_path(path), b"".join(split_lines(FILES[path])[first - 1:last])) for path, first, last in selection.excerpts]
    target = prompt.Target(b"session.py", b"", b"region\n", b"")
    with_them, without = (prompt.encode(prompt.edit_prompt(target, b"do", shown), encode) for shown in (texts, []))
    return len(with_them) - len(without)


@pytest.mark.parametrize("history", [None, PAST], ids=["no history", "history"])
@pytest.mark.parametrize("budget", [1, 12, 40, 100, 333, 1000, 4096])
def test_budget_holds_and_counts_what_the_prompt_has(index: MemoryIndex, encode: Callable[[bytes], list[int]], history: History | None,
                                                     budget: int) -> None:
    selection = fill(weigh(index, TARGET, INSTRUCTION, history), budget, lambda text: len(encode(text)))
    assert selection.tokens == prompt_size(selection, encode) <= budget
    assert selection.excerpts == sorted(selection.excerpts)
    for one, other in zip(selection.excerpts, selection.excerpts[1:], strict=False):
        assert one.path != other.path or one.last_line + 1 < other.first_line  # apart: neighbours are merged
    for path, first, last in selection.excerpts:
        assert path != TARGET.path and 1 <= first <= last <= len(split_lines(FILES[path]))
    assert budget < 333 or selection.tokens > 0.8 * min(budget, 900)  # what is left over is small


def test_a_large_budget_takes_every_line(index: MemoryIndex, encode: Callable[[bytes], list[int]]) -> None:
    selection = select(index, TARGET, INSTRUCTION, 100_000, lambda text: len(encode(text)))
    assert {excerpt.path: excerpt[1:] for excerpt in selection.excerpts} == {
        path: (1, len(split_lines(data))) for path, data in FILES.items() if data and path != TARGET.path}


def test_the_same_input_gives_the_same_lines(index: MemoryIndex, encode: Callable[[bytes], list[int]]) -> None:
    shuffled = MemoryIndex(lambda blob: FILES[blob])
    shuffled.move({path: path for path in sorted(FILES, reverse=True)})
    chosen = [fill(weigh(one, TARGET, INSTRUCTION, PAST), 300, lambda text: len(encode(text))).excerpts for one in (index, index, shuffled)]
    assert chosen[0] == chosen[1] == chosen[2]


def test_no_budget_is_an_error(index: MemoryIndex) -> None:
    with pytest.raises(CommandError) as caught:
        select(index, TARGET, INSTRUCTION, 0, len)
    assert caught.value.exit_code == 2


def test_a_file_changed_since_it_was_indexed_is_left_out(encode: Callable[[bytes], list[int]]) -> None:
    index = MemoryIndex(lambda blob: FILES[blob])
    index.move({path: path for path in FILES})
    read = index.read

    def changed(file):
        if file.path == "CHANGES.md":
            raise KeyError(file.path)
        return read(file)

    index.read = changed  # type: ignore[method-assign]
    selection = fill(weigh(index, TARGET, INSTRUCTION, PAST), 1000, lambda text: len(encode(text)))
    assert selection.excerpts and "CHANGES.md" not in {excerpt.path for excerpt in selection.excerpts}


def test_a_region_shows_what_it_uses_of_its_own_file(encode: Callable[[bytes], list[int]]) -> None:
    lines = [b"def helper(\n", b"    value,\n", b"):\n", b"    return value\n", *[b"x = 1\n"] * 60]
    lines += [b"def user():\n", b"    return helper(1)\n"]
    files = {"a.py": b"".join(lines), "b.py": b"y = 2\n"}
    index = MemoryIndex(lambda blob: files[blob])
    index.move({path: path for path in files})
    count = lambda text: len(encode(text))  # noqa: E731
    shown = select(index, Target("a.py", (65, 66)), "return two", 500, count).excerpts
    assert ("a.py", 1, 1) in shown and ("b.py", 1, 1) in shown
    assert {excerpt.path for excerpt in select(index, Target("a.py", (10, 11)), "return two", 500, count).excerpts} == {"b.py"}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([b"\n", b"x = 1\n", b"def f():\n", b"    y = 2\n", b"class A:\n", b"        pass\n"]), max_size=120))
def test_chunks_cover_every_line_once(lines: list[bytes]) -> None:
    index = MemoryIndex(lambda blob: b"".join(lines))
    index.move({"a.py": "a.py"})
    file = index.by_path["a.py"]
    chunks = cut(lines, index.definitions([file.id])[file.id])
    assert [line for chunk in chunks for line in range(chunk.first_line, chunk.last_line + 1)] == list(range(1, len(lines) + 1))
    for chunk in chunks:
        shown = [line for line in lines[chunk.first_line - 1:chunk.last_line] if line.strip()]
        assert len(shown) <= MOST_LINES + LEAST_LINES


def test_chunks_begin_with_definitions() -> None:
    index = MemoryIndex(lambda blob: SESSION)
    index.move({"a.py": "a.py"})
    chunks = cut(split_lines(SESSION), index.definitions([index.by_path["a.py"].id])[index.by_path["a.py"].id])
    starts = {chunk.name: chunk.first_line for chunk in chunks if chunk.is_start}
    assert starts["__init__"] == 11 and starts["close"] == 15 and starts["send"] == 19
