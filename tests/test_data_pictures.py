"""Pictures of code: fonts, glyphs against Pillow's own, what is shown and what the gold is, distances, shards and evaluation sets."""

from __future__ import annotations

import ast
import base64
import io
import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from cromwell.binding import image_layout
from cromwell.contract import prompt
from training import tokenizer
from training.data import __main__ as command
from training.data import fetch, pictures, pictures_build, pictures_fonts, pictures_glyphs, pictures_screen, pictures_tiles, shards

LIBRARY = Path(ast.__file__).parent
FACES, _ = pictures_fonts.find(pictures_fonts.MONO)
DEJAVU = FACES[0]
LINES = (LIBRARY / "textwrap.py").read_text().splitlines()


def look(**changes) -> pictures_screen.Look:
    """A plain look: black on white, no frame."""
    values = {
        "face": DEJAVU, "size": 13, "smoothing": "hinted", "gamma": 1.0, "whole": True, "style": "bw", "leading": 2, "left": 6.0, "top": 4,
        "right": 8, "bottom": 5, "numbers": 0, "gutter": False, "current": -1.0, "caret": False, "guides": False, "frame": "", "title": "",
        "margin": 0, "backdrop": 0, "extra_indent": 0,
    }  # fmt: skip
    return pictures_screen.Look(**{**values, **changes})


def draw_with_pillow(lines: list[str], shape: tuple[int, ...], style: pictures_screen.Look) -> np.ndarray:
    """The same lines one character at a time by Pillow."""
    picture = Image.new("RGB", (shape[1], shape[0]), "white")
    pen, font = ImageDraw.Draw(picture), pictures_fonts.load(DEJAVU, style.size)
    for row, line in enumerate(lines):
        y = style.top + row * style.line_height + (style.line_height - style.font.height) // 2
        for column, char in enumerate(line):
            pen.text((int(style.left + column * style.font.advance), y), char, fill=(20, 20, 20), font=font)
    return np.asarray(picture)


def test_glyphs_are_those_of_pillow():
    lines = ["x = (a + 1)", "    yield [q]"]
    style = look()
    drawn = pictures_screen.draw(lines, style, 256, 256, fill=True)
    by_hand = draw_with_pillow(lines, drawn.shape, style)
    # Keywords are bold in this style, so only the first line is letter for letter the same.
    end = style.top + style.line_height
    assert (drawn[:end].astype(int) - by_hand[:end]).max() <= 1
    assert (drawn != 255).any() and not np.array_equal(drawn[end:], by_hand[end:])


@pytest.mark.parametrize("smoothing", pictures_glyphs.SMOOTHING)
def test_smoothing_has_the_levels_that_it_says(smoothing):
    drawn = pictures_screen.draw(["value = 3"], look(smoothing=smoothing, whole=False), 256, 256, fill=False)
    coloured = (drawn.max(axis=2) != drawn.min(axis=2)).any()
    levels = len(np.unique(drawn))
    assert coloured == (smoothing == "subpixel")
    assert levels == 2 if smoothing == "none" else levels > 8


def test_sub_pixel_starts_move_ink():
    quarter = [pictures_screen.draw(["l" * 8], look(smoothing="plain", whole=False, left=x), 256, 256, fill=True) for x in (6.0, 6.34, 7.0)]
    centre = [(255.0 - drawn[:, :, 0]).sum(axis=0) @ np.arange(256) / (255.0 - drawn[:, :, 0]).sum() for drawn in quarter]
    assert centre[1] - centre[0] == pytest.approx(1 / 3, abs=0.12) and centre[2] - centre[0] == pytest.approx(1, abs=1e-6)


def test_every_look_shows_all_of_its_text():
    """Ink of the same lines never touches the right or lower edge of the picture, whatever the look."""
    for seed in range(24):
        rng = Random(seed)
        style = pictures_screen.draw_look(rng, FACES, "a.py")._replace(style="bw", frame="", margin=0, current=-1.0, guides=False)
        columns, rows = style.room(256, 256)
        lines = ["x" * max(1, columns)] * max(1, rows)
        drawn = pictures_screen.draw(lines, style, 256, 256, fill=rng.random() < 0.5)
        assert drawn.shape[0] <= 256 and drawn.shape[1] <= 256
        ink = drawn.min(axis=2) < 200
        tops = range(style.top, style.top + len(lines) * style.line_height, style.line_height)
        assert all(ink[y : y + style.line_height, int(style.left) :].any() for y in tops) and not ink[:, -1].any()


def test_code_samples_show_what_the_gold_says():
    rng = Random(5)
    seen_sizes = set()
    for _ in range(60):
        sample = pictures.code_sample(LINES[100:200], b"a.py", FACES, rng, 4, 99)
        if sample is None:
            continue
        height, width, _ = sample.pixels.shape
        rows, cols, scaled_width, scaled_height = image_layout(width, height, 4)
        assert (scaled_width, scaled_height) == (width, height), "not at native scale"
        text = sample.gold.decode()
        assert text.endswith("\n") and not text.endswith("\n\n") and "\t" not in text
        lines = text.splitlines()
        assert min(len(line) - len(line.lstrip()) for line in lines if line) == 0
        originals = {line.strip() for line in LINES}
        assert all(line.strip() in originals for line in lines)
        seen_sizes.add((rows, cols, len(lines)))
        few = pictures.code_sample(LINES[100:200], b"a.py", FACES, rng, 1, 2)
        assert few is None or few.gold.count(b"\n") <= 2
        assert sample.facts["font_seen"] in (True, False)
    assert {(1, 1), (1, 2)} < {size[:2] for size in seen_sizes} and {1, 2} <= {size[2] for size in seen_sizes}


def test_a_run_keeps_out_lines_that_are_too_long():
    lines = ["def f():", "    " + "x" * 60, "    a = 1", "", "    b = 2", "    é = 3"]
    assert pictures._run(lines, 1, 20, 9) == ["a = 1", "", "b = 2"]
    assert pictures._run(lines, 0, 20, 9) == ["def f():"]
    assert pictures._run(lines, 2, 20, 2) == ["a = 1"]


@given(st.text("abc\n", max_size=40), st.text("abc\n", max_size=40))
@settings(max_examples=150, deadline=None)
def test_edit_distance_is_the_textbook_one(one, other):
    row = list(range(len(other) + 1))
    for i, char in enumerate(one, 1):
        before, row = row, [i]
        for j, sign in enumerate(other, 1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (char != sign)))
    assert pictures.edit_distance(one, other) == row[-1]


def test_character_error_rate():
    assert pictures.character_error_rate("abcd", "abcd") == 0
    assert pictures.character_error_rate("abcd", "") == 1
    assert pictures.character_error_rate("abcd", "abXd") == 0.25
    assert pictures.character_error_rate("ab", "abababab") == 3


def test_tiles_survive_the_shard_format():
    chance = np.random.default_rng(0)
    pixels = chance.integers(0, 255, (300, 520, 3), dtype=np.uint8)
    picture = pictures_tiles.cut(pixels)
    whole = pictures_tiles.join(picture)
    assert (picture.rows, picture.cols, len(picture.frames)) == (2, 3, 6)
    assert np.array_equal(whole[:300, :520], pixels) and (whole[300:] == 255).all() and (whole[:, 520:] == 255).all()
    with pytest.raises(ValueError, match="9000x10 pixels"):
        pictures_tiles.cut(np.zeros((10, 9000, 3), np.uint8))


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Sources of two packages, alpha (train) and beta (held out), their manifest and a small tokenizer."""
    root = tmp_path_factory.mktemp("pictures")
    names = ("argparse.py", "textwrap.py", "shlex.py", "csv.py")
    for package, files in (("alpha", names), ("beta", ("calendar.py", "fractions.py"))):
        (root / "src" / package).mkdir(parents=True)
        for name in files:
            (root / "src" / package / name).write_bytes((LIBRARY / name).read_bytes())
    rows = [fetch.Package(name, "1", "MIT", "", split, "") for name, split in (("alpha", "train"), ("beta", "heldout"))]
    (root / "manifest.json").write_text(json.dumps({"format": 1, "packages": [row._asdict() for row in rows]}))
    vocabulary = tokenizer.train([(LIBRARY / name).read_bytes() for name in names[:3]], 600)
    (root / "tokenizer.bin").write_bytes(tokenizer.to_section(vocabulary))
    return root


def options(place: Path, **more: object) -> list[str]:
    values = {"src": place / "src", "manifest": place / "manifest.json", "seed": 4, "tiles": 2, **more}
    return [part for name, value in values.items() for part in (f"--{name}", str(value))]


def make(place: Path, name: str, **more: object) -> Path:
    arguments = options(place, tokenizer=place, out=place / name, count=11, what="code:8,chart:1,table:1,mockup:1", **more)
    assert command.main(["pictures", *arguments]) == 0
    return place / name


def test_a_shard_of_pictures(place):
    data = shards.open_shard(make(place, "one", processes=1))
    again, other = (shards.open_shard(make(place, name, **more)) for name, more in (("two", {"processes": 2}), ("three", {"seed": 5})))
    assert again.index["sha256"] == data.index["sha256"] != other.index["sha256"]
    assert data.index["counts"] == {"picture": 8, "chart": 1, "table": 1, "mockup": 1}
    assert not set(data.index["fonts"]) & {font.family for font in (*pictures_fonts.MONO, *pictures_fonts.SANS) if not font.seen}
    image, end = prompt.SPECIAL_TOKENS.index("<IMAGE>"), prompt.SPECIAL_TOKENS.index("<EDIT_END>")
    first = 0
    for i in range(len(data.docs)):
        rows, cols = (int(side) for side in data.grids[i])
        assert data.tile_of[i] == first and 1 <= rows * cols <= 2
        tiles = data.tiles.picture(first, rows, cols)
        assert tiles.shape == (rows * cols, 256, 256, 3) and len(np.unique(tiles)) > 1
        ids = data.ids(i).tolist()
        assert ids.count(image) == 1 and ids[-1] == end
        first += rows * cols
    assert first == len(data.tiles)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda data: data[:-1], "tiles.bin: .* bytes, tile_ends.npy says"),
        (lambda data: data[:9] + bytes((data[9] ^ 1,)) + data[10:], "tiles.bin: digest differs"),
    ],
)
def test_damaged_tiles_are_named(place, tmp_path, change, message):
    if not (place / "one").exists():
        make(place, "one", processes=1)
    (tmp_path / "copy").mkdir()
    for path in (place / "one").iterdir():
        (tmp_path / "copy" / path.name).write_bytes(change(path.read_bytes()) if path.name == "tiles.bin" else path.read_bytes())
    with pytest.raises(fetch.DataError, match=message):
        shards.open_shard(tmp_path / "copy")


def test_a_damaged_frame_is_named(tmp_path):
    frame = pictures_tiles.cut(np.zeros((256, 256, 3), np.uint8)).frames[0]
    (tmp_path / "tiles.bin").write_bytes(frame + frame[:-3] + b"xxx")
    np.save(tmp_path / "tile_ends.npy", np.array([len(frame), 2 * len(frame)]))
    tiles = pictures_tiles.Tiles(tmp_path)
    assert not tiles[0].any()
    with pytest.raises(fetch.DataError, match="tile 1 is damaged"):
        tiles[1]


@pytest.mark.skipif(all(face.seen for face in FACES), reason="no font that is kept for evaluation is installed")
def test_pictures_for_evaluation(place):
    out = place / "pictures.jsonl"
    assert command.main(["pictures-heldout", *options(place, out=out, count=12, what="code")]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["font_seen"] for row in rows] == [True] * 6 + [False] * 6
    assert {row["package"] for row in rows} == {"beta"} and {row["template"] for row in rows} == {"seen", "unseen"}
    unseen = {font.family for font in pictures_fonts.MONO if not font.seen}
    assert all((row["font"] in unseen) != row["font_seen"] for row in rows)
    for row in rows:
        picture = Image.open(io.BytesIO(base64.b64decode(row["png"])))
        assert picture.mode == "RGB" and picture.width <= 512 and row["gold"].endswith("\n")


def test_without_unseen_fonts_there_is_no_evaluation_set(place, monkeypatch, capsys):
    seen_only = lambda table, folder=None: ([face for face in FACES if face.seen], [])  # noqa: E731
    monkeypatch.setattr(pictures_build.pictures_fonts, "find", seen_only)
    assert command.main(["pictures-heldout", *options(place, out=place / "none.jsonl", count=4, what="code")]) == 2
    assert "error: no font that training never sees" in capsys.readouterr().err
    assert not (place / "none.jsonl").exists()


def test_bad_input_is_one_line(place, tmp_path, capsys):
    assert command.main(["pictures", "--count", "1", "--tokenizer", str(place), "--out", str(tmp_path / "x"), "--what", "code"]) == 2
    assert "pictures of code need --src" in capsys.readouterr().err
    assert command.main(["pictures", *options(place, tokenizer=place, out=tmp_path / "x", count=1, fonts=tmp_path / "none")]) == 2
    assert "no such folder of fonts" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.main(["pictures", *options(place, tokenizer=place, out=tmp_path / "x", count=1, what="films")])
    assert "'films' is none of code, chart, table, mockup" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_missing_fonts_are_left_out_and_named(capsys):
    table = (*pictures_fonts.MONO[:1], pictures_fonts.Font("Nowhere Mono", "fontpkg-nowhere", "Nowhere.ttf"))
    faces, missing = pictures_fonts.find(table)
    pictures_fonts.tell_missing(missing)
    assert [face.family for face in faces] == ["DejaVu Sans Mono"]
    assert "note: no font Nowhere Mono" in capsys.readouterr().err
    with pytest.raises(fetch.DataError, match="no font found"):
        pictures_fonts.find(table[1:])
    assert sum(not font.seen for font in pictures_fonts.MONO) >= 2
