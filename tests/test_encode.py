"""cw-encode: what an encoding holds, and what the cache has to do with it."""

from __future__ import annotations

import io
from array import array

import pytest

from cromwell import binding
from cromwell.contract import artifact, cli, prompt
from cromwell.contract.model_input import picture_tiles, prompt_path, prompt_tokens, region_text, region_tokens
from cromwell.encode.cw_encode import app as encode
from cromwell.prepare.cw_context import app as context

TEXT = "".join(f"value_{number} = {number}\n" for number in range(60))


@pytest.fixture
def made(tmp_path, monkeypatch, model_pack):
    """Encodes lines 20-25 of a file; gives the context and the encoding."""
    monkeypatch.setenv("CROMWELL_MODEL", str(model_pack))
    monkeypatch.setenv("CROMWELL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").write_text(TEXT)

    def run(*arguments: str, extra: tuple[str, ...] = ()) -> tuple[artifact.Artifact, artifact.Artifact]:
        assert cli.run(context, ["app.py:20-25", "-m", "set value_21 to 7", "-o", "a.cwa", *extra]) == 0
        assert cli.run(encode, ["a.cwa", "-o", "a.cwe", *arguments]) == 0
        return tuple(artifact.read(io.BytesIO((tmp_path / name).read_bytes()), name) for name in ("a.cwa", "a.cwe"))

    run.folder = tmp_path
    return run


def test_an_encoding_is_the_context_with_its_tokens(made, model_pack):
    given, encoding = made()
    with binding.Model(model_pack) as model:
        lines = TEXT.splitlines(keepends=True)
        before, region, after = ("".join(lines[begin:end]).encode() for begin, end in ((13, 19), (19, 25), (25, 31)))
        parts = prompt.edit_prompt(prompt.Target(b"app.py", before, region, after), b"set value_21 to 7")
        expected = prompt.encode(parts, model.tokenizer.encode)
        assert array("i", encoding.arrays["tokens"].data).tolist() == expected
        assert region_tokens(expected) == model.tokenizer.encode(region)
        assert encoding.meta["model"] == model.fingerprint
    assert encoding.arrays["target"] == given.arrays["target"]
    assert {name: encoding.meta[name] for name in given.meta} == given.meta
    assert encoding.meta["prompt_tokens"] == len(expected) and encoding.meta["tiles"] == []


def test_the_bytes_do_not_depend_on_the_cache(made):
    cold = made()[1]
    assert list((made.folder / "cache").rglob("prefix/*/*")), "states were kept"
    hot = made()[1]
    none = made("--no-cache")[1]
    assert cold == hot == none


def test_joint_embeddings_are_the_same_from_states_as_from_scratch(made, model_pack):
    cold = made("--joint", "--no-cache")[1].arrays["joint"]
    made()
    hot = made("--joint")[1].arrays["joint"]
    with binding.Model(model_pack) as model:
        assert cold.shape[1] == model.info.joint_size
    assert cold == hot and any(cold.data)


def test_pictures_become_tiles(made, model_pack):
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (300, 200), (10, 20, 30)).save(made.folder / "wide.png")
    image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(made.folder / "clear.png")
    given, encoding = made(extra=("--image", "wide.png", "--image", "clear.png"))
    assert given.arrays["image.0"].data[:3] == bytes((10, 20, 30)) and set(given.arrays["image.1"].data) == {255}
    with binding.Model(model_pack) as model:
        pictures = picture_tiles(given.arrays, model.info.max_tiles)
        tokens = prompt_tokens(given.meta, given.arrays, model.tokenizer)
        assert tokens.count(model.tokenizer.special("<IMAGE>")) == 2
    for number, picture in enumerate(pictures):
        assert encoding.meta["tiles"][number] == {"rows": picture.rows, "cols": picture.cols}
        assert encoding.arrays[f"pixels.{number}"].data == picture.tiles
    assert pictures[1].tiles[:3] == b"\xff\xff\xff"


def test_more_pictures_than_tiles_are_refused(made, model_pack, capfd):
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (8, 8)).save(made.folder / "dot.png")
    with binding.Model(model_pack) as model:
        count = model.info.max_tiles + 1
    assert cli.run(context, ["app.py:20-25", "-m", "x", "-o", "a.cwa", *["--image", "dot.png"] * count]) == 2
    assert f"{count} pictures" in capfd.readouterr().err and not (made.folder / "a.cwa").exists()


def test_the_prompt_does_not_depend_on_where_a_file_lies():
    assert prompt_path("/home/me/src/app.py") == prompt_path("../app.py") == prompt_path("app.py") == b"app.py"


@pytest.mark.parametrize(("raw", "eol", "expected"), [
    (b"a\r\nb\r\n", "crlf", b"a\nb\n"), (b"a\r\nb", "crlf", b"a\nb\n"), (b"a\rb", "cr", b"a\nb\n"), (b"", "lf", b""),
    (b"a\rb\n", "lf", b"a\rb\n"),
])
def test_the_model_sees_whole_lines_with_lf(raw, eol, expected):
    assert region_text(b"xx" + raw, {"start_byte": 2, "end_byte": 2 + len(raw)}, eol) == expected


@pytest.mark.parametrize(
    "said, read",
    [
        (b"rename `a` to `b_c`", b" rename ` a ` to ` b_c `"),
        (b" set `x`to `'y z'`.", b" set ` x `to ` 'y z' `."),
        (b"`a`->`b`", b" ` a `->` b `"),
        (b"a ` and\n no end", b" a ` and\n no end"),
        (b"``` and ``", b" ``` and ``"),
        (b"", b" "),
    ],
)
def test_code_in_an_instruction_stands_between_spaces(said, read):
    assert prompt.spaced(said) == read
    assert prompt.spaced(read) == read
