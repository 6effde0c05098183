"""The tokenizer: libcromwell against the `tokenizers` library, any bytes, damaged sections, and the training commands."""

from __future__ import annotations

import json
import random
import struct
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cromwell import binding
from cromwell.contract.prompt import SPECIAL_TOKENS
from training import tokenizer as training

STDLIB = Path(sysconfig.get_path("stdlib"))
SAMPLE_BYTES = 4_000_000
ODDITIES = (
    b"", b" ", b"\n", b"\r", b"\t", b"\0", b"\x0b\x0c", b"\xff\xfe", b"a", b"1", b"=", b"=\n", b"=\r\n\r\n  \tx", b"=  \nx", b"= 1",
    b"= 12", b"=  1", b"=\t1", b" 1", b"  1", b"   x", b"\t\tx", b"\t ==", b"  ==", b"a  \n", b"a\n  \n\n   b", b"x \n y", b"\n1", b"  ",
    b"__init__(", b"a_b1_2345", b"\x0cclass A:\r\n\tpass\r\n", b"''\"\"\n", "naïve = 'ž' # 🙂".encode(), "x".encode("utf-16"),
    b"\xc3", b" \xc3\n", b"f(x, 1,2, 3.14)\n\n\n",
)  # fmt: skip


@pytest.fixture(scope="module")
def code() -> list[bytes]:
    """Files of the standard library."""
    return list(training.texts([str(STDLIB)], SAMPLE_BYTES))


@pytest.fixture(scope="module")
def library(code: list[bytes]) -> training.Tokenizer:
    """A vocabulary of 4096 tokens from a part of the sample."""
    return training.Tokenizer(training.train(code[: len(code) // 4], 4096))


@pytest.fixture(scope="module")
def section(library: training.Tokenizer) -> bytes:
    return training.to_section(library.vocabulary)


@pytest.fixture(scope="module")
def native(section: bytes) -> binding.Tokenizer:
    return binding.Tokenizer(section)


def test_vocabulary_is_specials_bytes_merges(library: training.Tokenizer, native: binding.Tokenizer) -> None:
    count = len(SPECIAL_TOKENS)
    assert library.size == native.size == 4096
    assert [native.special(name) for name in SPECIAL_TOKENS] == list(range(count))
    assert [library.special(name) for name in SPECIAL_TOKENS] == list(range(count))
    assert native.special("<NONE>") == -1
    assert native.decode(range(count, count + 256)) == bytes(range(256))
    tokens = library.vocabulary.token_bytes()
    assert len(set(tokens[count:])) == len(tokens) - count
    assert [native.decode([token]) for token in range(4096)] == tokens


def test_every_token_is_the_encoding_of_its_bytes(library: training.Tokenizer) -> None:
    assert training.reachable(library.vocabulary) == library.vocabulary


def test_pieces_of_code(library: training.Tokenizer) -> None:
    text = 'def f(x_1, *args):\n    if  x == 12345:\n\n\treturn "naïve"  # so\n'
    pieces = [piece for piece, _ in library.library.pre_tokenizer.pre_tokenize_str(text)]
    assert pieces == [
        "def", " f", "(x", "_", "1", ",", " *", "args", "):\n    ", "if", " ", " x", " == ", "12", "34", "5", ":\n\n\t", "return",
        ' "', "naïve", '"', " ", " #", " so", "\n",
    ]  # fmt: skip


def test_code_as_the_library(library: training.Tokenizer, native: binding.Tokenizer, code: list[bytes]) -> None:
    assert sum(map(len, code)) >= SAMPLE_BYTES / 2
    assert training.differences(library, native, code) == []


def test_oddities_as_the_library(library: training.Tokenizer, native: binding.Tokenizer) -> None:
    joined = [first + second for first in ODDITIES for second in ODDITIES]
    assert training.differences(library, native, joined) == []


def test_random_bytes_as_the_library(library: training.Tokenizer, native: binding.Tokenizer) -> None:
    chance = random.Random(7)
    alphabets = [bytes(range(256)), b"ab \n", b"aeE_ (=:)\r\n\t 0123\xc3\xa9\"#", b" \t\n\r=1a"]
    texts = [bytes(chance.choices(alphabet, k=chance.randrange(300))) for alphabet in alphabets for _ in range(1000)]
    assert training.differences(library, native, texts) == []


@pytest.mark.parametrize("unit", [b"e", b"\n", b"ab", b" ", b"=-", b"\xff"])
def test_a_megabyte_of_one_piece_as_the_library(library: training.Tokenizer, native: binding.Tokenizer, unit: bytes) -> None:
    assert training.differences(library, native, [unit * (2**20 // len(unit))]) == []


def test_the_tokenizer_of_the_shipped_model(code: list[bytes]) -> None:
    path = Path(binding.default_model_path())
    if not path.exists():
        pytest.skip("this build has no default model")
    with binding.Model(str(path)) as model:
        library = training.load(path)
        assert library.vocabulary.specials == SPECIAL_TOKENS
        assert training.reachable(library.vocabulary) == library.vocabulary
        assert training.differences(library, model.tokenizer, code[: len(code) // 2]) == []


@settings(deadline=None, max_examples=100)
@given(data=st.binary(max_size=400) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes(library: training.Tokenizer, native: binding.Tokenizer, data: bytes) -> None:
    ids = native.encode(data)
    assert ids == library.encode(data)
    assert native.decode(ids) == library.decode(ids) == data


def test_tiktoken_agrees(library: training.Tokenizer, native: binding.Tokenizer, code: list[bytes]) -> None:
    pytest.importorskip("tiktoken")
    encode = training.tiktoken_encoder(library.vocabulary)
    texts = [text for text in code[:100] if training.is_utf8(text)]
    assert len(texts) > 50
    assert [encode(text) for text in texts] == [native.encode(text) for text in texts]


def test_text_never_gives_special_tokens(library: training.Tokenizer, native: binding.Tokenizer) -> None:
    text = b"".join(name.encode() + b" x" + name.encode() for name in SPECIAL_TOKENS)
    for tokenizer in (library, native):
        ids = tokenizer.encode(text)
        assert min(ids) >= len(SPECIAL_TOKENS)
        assert tokenizer.decode(ids) == text
        special = [tokenizer.special("<EDIT>"), *tokenizer.encode(b"a"), tokenizer.special("<EOS>")]
        assert tokenizer.decode(special) == b"a"
        assert tokenizer.decode(special, with_special=True) == b"<EDIT>a<EOS>"


def test_sections_read_back(library: training.Tokenizer, section: bytes, tmp_path: Path) -> None:
    assert training.read_section(section) == library.vocabulary
    assert training.to_section(training.read_section(section)) == section
    (tmp_path / "tokenizer.bin").write_bytes(section)
    assert training.load(tmp_path).vocabulary == training.load(tmp_path / "tokenizer.bin").vocabulary == library.vocabulary


def refused(section: bytes) -> bool:
    """Whether both readers refuse `section`; an error when they disagree."""
    outcomes = []
    for reader, error in ((training.read_section, training.SectionError), (binding.Tokenizer, binding.CromwellError)):
        try:
            reader(section)
            outcomes.append(False)
        except error as reason:
            assert str(reason) and "\n" not in str(reason)
            outcomes.append(True)
    assert outcomes[0] == outcomes[1]
    return outcomes[0]


def test_truncated_sections_are_refused(section: bytes) -> None:
    for size in [*range(200), *range(200, len(section), 997), len(section) - 1]:
        assert refused(section[:size])
    assert refused(section + b"\0" * 8)


def test_changed_sections_are_refused(section: bytes) -> None:
    chance = random.Random(3)
    for _ in range(150):
        damaged = bytearray(section)
        damaged[chance.randrange(len(section) if chance.random() < 0.5 else 300)] ^= 1 << chance.randrange(8)
        assert refused(bytes(damaged))


def sealed(names: bytes, special_count: int, merges: list[tuple[int, int]], version: int = 1) -> bytes:
    """A section of the given parts with the checksum that belongs to them."""
    counts = struct.pack("<IIII", version, special_count, len(merges), len(names))
    body = names + b"".join(struct.pack("<II", *merge) for merge in merges)
    return training.MAGIC + counts + struct.pack("<Q", training.checksum(counts + body)) + body


def test_inconsistent_sections_are_refused() -> None:
    assert not refused(sealed(b"<A>\0<B>\0", 2, [(99, 100)]))
    assert not refused(sealed(b"", 0, []))
    assert refused(sealed(b"<A>\0<B>\0", 2, [(99, 100)], version=2))
    assert refused(sealed(b"<A>\0<B>\0", 3, [(99, 100)]))
    assert refused(sealed(b"<A>\0<B>\0", 1, [(99, 100)]))
    assert refused(sealed(b"<A>\0<B>x", 2, [(99, 100)]))
    assert refused(sealed(b"<A>\0\0<B>", 2, [(99, 100)]))
    assert refused(sealed(b"<A>\0<B>", 2, [(99, 100)]))
    assert refused(sealed(b"<A>\0<B>\0", 2, [(1, 100)]))
    assert refused(sealed(b"<A>\0<B>\0", 2, [(99, 258)]))


def test_unreachable_tokens_are_dropped_in_training_and_refused_in_c() -> None:
    a, b, c, first = 97, 98, 99, 256
    never = training.Vocabulary((), ((a, b), (b, c), (a, first + 1), (first + 2, a), (c, c)))  # "abc" is always ab, c
    assert training.reachable(never) == training.Vocabulary((), ((a, b), (b, c), (c, c)))
    with pytest.raises(binding.CromwellError, match="never produced"):
        binding.Tokenizer(training.to_section(never))


def test_one_handle_serves_many_threads(native: binding.Tokenizer, code: list[bytes]) -> None:
    texts = code[:60]
    expected = [native.encode(text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(native.encode, texts * 5)) == expected * 5


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(STDLIB / "json")
    for folder in ("first", "second"):
        assert training.main(["train", "--out", str(tmp_path / folder), "--vocab", "600", source]) == 0
    files = sorted(file.name for file in (tmp_path / "first").iterdir())
    assert files == ["tokenizer.bin", "tokenizer.json"]
    for name in files:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    assert training.load(tmp_path / "first").size == 600
    capsys.readouterr()
    assert training.main(["measure", str(tmp_path / "first"), source]) == 0
    assert "bytes per token" in capsys.readouterr().out
    assert training.main(["compare", str(tmp_path / "first"), source]) == 0
    assert " 0 encoded in another way" in capsys.readouterr().out


def test_benchmark(section: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    program = pytest.importorskip("benchmarks.tokenizer")
    monkeypatch.setattr(program, "TURN_S", 0.001)
    (tmp_path / "tokenizer.bin").write_bytes(section)
    common = ["--tokenizer", str(tmp_path), "--bytes", "30000", "--rounds", "1"]
    assert program.main([*common, "--json", str(STDLIB / "json")]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["version"] == 1 and document["vocabulary"] == 4096 and 30000 <= document["bytes"] and document["tokens"] > 0
    assert {"libcromwell", "tokenizers"} <= set(document["rows"])
    assert all(row["mb_per_s"] > 0 and row["ours_is_faster"] > 0 for row in document["rows"].values())
    assert program.main(common) == 0
    assert "all encode alike" in capsys.readouterr().out
    assert program.main([*common, str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_the_json_file_encodes_as_the_section(tmp_path: Path, library: training.Tokenizer) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    path = tmp_path / "tokenizer.json"
    path.write_text(training.library_tokenizer(library.vocabulary).to_str())
    read = tokenizers.Tokenizer.from_file(str(path))
    for text in ODDITIES:
        assert read.encode(text.decode("latin-1")).ids == library.encode(text)
        assert read.decode(library.encode(text), skip_special_tokens=False).encode("latin-1") == text


@pytest.mark.parametrize("arguments", [["train", "--out", "x", "--vocab", "100", "."], ["measure", "missing", "."]])
def test_errors_are_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert training.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("error: ") and printed.err.count("\n") == 1
