"""Shards and the commands that make them: formats, damage, determinism, the split; manifests and unpacking."""

from __future__ import annotations

import ast
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cromwell.contract import prompt
from training import tokenizer
from training.data import __main__ as command
from training.data import build, fetch, shards, source

LIBRARY = Path(ast.__file__).parent
TRAIN_FILES = ("argparse.py", "textwrap.py", "shlex.py", "configparser.py", "json/decoder.py", "csv.py", "gettext.py", "bdb.py")
HELD_FILES = ("calendar.py", "fractions.py")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with sources of two packages, alpha (train) and beta (held out), their manifest and a small tokenizer."""
    root = tmp_path_factory.mktemp("data")
    for package, files in (("alpha", TRAIN_FILES), ("beta", HELD_FILES)):
        for name in files:
            path = root / "src" / package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((LIBRARY / name).read_bytes())
    # A copy of held-out code in a training package, under another name.
    (root / "src/alpha/vendored.py").write_bytes(b"# our own copy\n" + (LIBRARY / "fractions.py").read_bytes())
    rows = [fetch.Package(name, "1", "MIT", "", split, "") for name, split in (("alpha", "train"), ("beta", "heldout"))]
    (root / "manifest.json").write_text(json.dumps({"format": 1, "packages": [row._asdict() for row in rows]}))
    vocabulary = tokenizer.train([(LIBRARY / name).read_bytes() for name in TRAIN_FILES[:4]], 700)
    (root / "tokenizer.bin").write_bytes(tokenizer.to_section(vocabulary))
    return root


def make(place: Path, name: str, seed: int = 1, processes: int = 1, split: str = "train") -> tuple[Path, dict]:
    """A small shard of the place's sources."""
    counts = {"edits": 60, "plain": 12}
    arguments = (place / "src", place / "manifest.json", split, place / "tokenizer.bin", place / name, counts, seed, processes)
    return place / name, build.build_shard(*arguments)


@pytest.fixture(scope="module")
def shard(place) -> Path:
    return make(place, "shard")[0]


def test_documents_have_the_prompt_format(place, shard):
    data = shards.open_shard(shard)
    special = {name: i for i, name in enumerate(prompt.SPECIAL_TOKENS)}
    kinds = [data.index["kinds"][kind] for kind in data.kinds]
    assert not len(data.tiles) and (data.tile_of == -1).all()
    for i, kind in enumerate(kinds):
        ids = data.ids(i).tolist()
        loss_start = int(data.docs[i, 1] - data.docs[i, 0])
        assert len(ids) <= 1024
        assert special["<IMAGE>"] not in ids
        if kind == "plain":
            assert (ids[0], ids[-1], loss_start) == (special["<FILE>"], special["</FILE>"], 1)
        elif kind == "fill":
            assert (ids[0], ids[-1], loss_start) == (special["<FIM_PREFIX>"], special["<EOS>"], 1)
        else:
            assert ids[loss_start - 1] == special["<EDIT_START>"] and ids[-1] == special["<EDIT_END>"]
            assert ids.count(special["<EDIT_START>"]) == 1


def test_same_seed_same_bytes_on_any_number_of_processes(place, shard):
    again = make(place, "again", processes=2)[1]
    other = make(place, "other", seed=2)[1]
    index = shards.open_shard(shard).index
    assert again["sha256"] == index["sha256"]
    assert other["sha256"] != index["sha256"]


def test_no_training_document_holds_a_held_out_function(place, shard):
    """fractions.py is held out, and a copy of it lies in a training package."""
    data = shards.open_shard(shard)
    decode = tokenizer.load(place / "tokenizer.bin").decode
    fractions = {line.strip() for line in (LIBRARY / "fractions.py").read_bytes().splitlines()}
    own = {line.strip() for name in TRAIN_FILES for line in (LIBRARY / name).read_bytes().splitlines()}
    telling = {line for line in fractions - own if len(line) > 30 and b"=" in line}
    assert len(telling) > 20 and data.index["heldout_bodies"] > 20
    edits = [i for i, kind in enumerate(data.kinds) if data.index["kinds"][kind] not in ("plain", "fill")]
    inside = [i for i in range(len(data.docs)) if telling & {line.strip() for line in decode(data.ids(i).tolist()).splitlines()}]
    assert len(edits) == 60
    assert not inside


def test_heldout_edits_come_from_held_out_packages(place):
    out = place / "edits.jsonl"
    counts = build.build_heldout(place / "src", place / "manifest.json", out, 2, 1)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == sum(counts.values()) >= 12
    assert {row["package"] for row in rows} == {"beta"}
    assert {row["template"] for row in rows} == {"seen", "unseen"}
    assert all(row["path"] and row["instruction"] and row["region"] and row["new_region"] for row in rows)
    first = out.read_bytes()
    build.build_heldout(place / "src", place / "manifest.json", out, 2, 1)
    assert out.read_bytes() == first


def damaged(shard: Path, target: Path, name: str, change) -> Path:
    """A copy of a shard with one file changed."""
    target.mkdir()
    for path in shard.iterdir():
        (target / path.name).write_bytes(change(path.read_bytes()) if path.name == name else path.read_bytes())
    return target


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("tokens.npy", lambda data: data[:-10], "tokens.npy: unreadable"),
        ("tokens.npy", lambda data: data[:200] + bytes((data[200] ^ 1,)) + data[201:], "tokens.npy: digest differs"),
        ("docs.npy", lambda data: b"not an array", "docs.npy: unreadable"),
        ("kinds.npy", lambda data: data.replace(b"|u1", b"|i1"), "kinds.npy: holds int8"),
        ("index.json", lambda data: data[:100], "index.json: not a shard index"),
        ("index.json", lambda data: data.replace(b'"format": 2', b'"format": 9'), "shard format 9"),
        ("index.json", lambda data: b"[]", "index.json: not a shard index"),
    ],
)
def test_damage_is_named(shard, tmp_path, name, change, message):
    with pytest.raises(fetch.DataError, match=message):
        shards.open_shard(damaged(shard, tmp_path / "copy", name, change))


def test_gaps_between_documents_are_refused(shard, tmp_path):
    copy = damaged(shard, tmp_path / "copy", "none", bytes)
    docs = np.load(copy / "docs.npy")
    docs[3, 0] += 1
    np.save(copy / "docs.npy", docs)
    with pytest.raises(fetch.DataError, match="overlap, leave gaps"):
        shards.open_shard(copy, verify=False)


def test_a_missing_or_present_shard_is_an_error(shard, tmp_path, capsys):
    with pytest.raises(fetch.DataError, match="no index.json"):
        shards.open_shard(tmp_path)
    with pytest.raises(fetch.DataError, match="exists already"):
        shards.Writer(shard, ["plain"])
    assert command.main(["show", str(tmp_path), "--tokenizer", "none"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_show_prints_readable_documents(place, shard, capsys):
    assert command.main(["show", str(shard), "--tokenizer", str(place / "tokenizer.bin"), "--kind", "rename", "--count", "2"]) == 0
    text = capsys.readouterr().out
    assert text.count("<EDIT_START>") == 2 and "rename" in text


def test_every_command_of_the_table_is_there_and_documented(capsys):
    text = (Path(__file__).parents[1] / "docs/data.md").read_text()
    for name in command.COMMANDS:
        with pytest.raises(SystemExit) as stop:
            command.main([name, "--help"])
        assert stop.value.code == 0 and f"python -m training.data {name} " in text, name
    assert command.main([]) == 2 and "commands:" in capsys.readouterr().out


def wheel(folder: Path, name: str, licence: str, files: dict[str, bytes]) -> Path:
    """A small wheel."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, data in files.items():
            archive.writestr(file, data)
        archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n{licence}\n\nText\n")
    return path


def test_manifest_takes_permissive_licences_only(tmp_path):
    for name, licence in (
        ("one", "License-Expression: MIT"),
        ("two", "License-Expression: GPL-2.0-or-later"),
        ("three", "Classifier: License :: OSI Approved :: BSD License"),
        ("four", "License-Expression: MIT AND MPL-2.0"),
        ("five", "License: none of your business"),
        ("click", "License: Apache 2.0 License"),
    ):
        wheel(tmp_path, name, licence, {})
    rows, refused = fetch.write_manifest(tmp_path, tmp_path / "manifest.json")
    assert {(row.name, row.split) for row in rows} == {("click", "heldout"), ("one", "train"), ("three", "train")}
    assert len(refused) == 3 and fetch.read_manifest(tmp_path / "manifest.json") == sorted(rows)


def test_fetch_keeps_bytes_and_resumes(tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    files = {
        "one/a.py": b"x = 1\r\ny = 2\r\n",
        "one/b.txt": b"no",
        "../evil.py": b"no",
        "/evil.py": b"no",
        "one-1.0.data/scripts/c.py": b"no",
    }
    path = wheel(wheels, "one", "License-Expression: MIT", files)
    manifest = tmp_path / "manifest.json"
    fetch.write_manifest(wheels, manifest)
    assert fetch.fetch(manifest, tmp_path) == (["one 1.0: 1 files"], [])
    assert [p.relative_to(tmp_path / "src").as_posix() for p in (tmp_path / "src").rglob("*") if p.is_file()] == ["one/one/a.py"]
    assert (tmp_path / "src/one/one/a.py").read_bytes() == files["one/a.py"]
    path.unlink()  # without the wheel it would have to be downloaded again
    wheel(wheels, "one", "License-Expression: MIT", files)
    assert sum(row.split == "train" for row in fetch.read_manifest(manifest)) == 1
    assert fetch.fetch(manifest, tmp_path, split="heldout") == ([], [])


def test_the_shipped_manifest_is_sound():
    rows = fetch.read_manifest(fetch.MANIFEST)
    assert {row.name for row in rows if row.split == "heldout"} == fetch.HELD_OUT
    assert all(fetch.is_permissive(row.licence) and len(row.sha256) == 64 for row in rows)
    assert len({row.name for row in rows}) == len(rows) > 30
    with pytest.raises(fetch.DataError, match="no such manifest"):
        fetch.read_manifest(Path("nowhere.json"))


def test_crlf_files_are_read_with_lf(tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p/a.py").write_bytes(b"\xef\xbb\xbfx = 1\r\ny = 2\r\n")
    file = source.load(tmp_path, "p", "a.py")
    assert file is not None and file.lines == [b"x = 1\n", b"y = 2\n"]
