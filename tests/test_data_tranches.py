"""From listed files to shards: plain documents, merging, and tranches that arrive whole or are refused."""

from __future__ import annotations

import ast
import json
import os
import resource
import signal
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cromwell.contract import prompt
from tests import data_reference
from training import tokenizer
from training.data import __main__ as command
from training.data import (
    build,
    fetch,
    pipeline_documents,
    pipeline_encoder,
    pipeline_files,
    pipeline_leaks,
    pipeline_tokens,
    shards,
    source,
    tranches,
)
from training.data.dedup_tokens import scan

LIBRARY = Path(ast.__file__).parent
NAMES = ("argparse.py", "textwrap.py", "configparser.py", "gettext.py", "bdb.py", "csv.py", "shlex.py")
HELD = "fractions.py"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Sources, a list of them as `prepare` leaves it, a manifest and a small tokenizer. bdb.py ends with a copied held-out method."""
    root = tmp_path_factory.mktemp("tranches")
    (root / "src/alpha/sub").mkdir(parents=True)
    for name in NAMES:
        (root / "src/alpha" / ("sub" if name < "c" else ".") / name).write_bytes((LIBRARY / name).read_bytes())
    held = (LIBRARY / HELD).read_bytes()
    method = held[held.index(b"    def limit_denominator") : held.index(b"    @property\n    def numerator")]
    with (root / "src/alpha/sub/bdb.py").open("ab") as file:
        file.write(b"\n\nclass Copied:\n" + method)
    (root / "src/held").mkdir()
    (root / "src/held" / HELD).write_bytes(held)
    rows = [fetch.Package(name, "1", "MIT", "", split, "") for name, split in (("alpha", "train"), ("held", "heldout"))]
    (root / "manifest.json").write_text(json.dumps({"format": 1, "packages": [row._asdict() for row in rows]}))
    vocabulary = tokenizer.train([(LIBRARY / name).read_bytes() for name in NAMES[:4]], 900)
    (root / "tokenizer.bin").write_bytes(tokenizer.to_section(vocabulary))
    known = pipeline_leaks.gather(pipeline_leaks.bodies_of(root / "src", "held", HELD))
    (root / "prepared/work").mkdir(parents=True)
    pipeline_leaks.save(root / "prepared/work/heldout.npz", known)
    listed = []
    for path in sorted((root / "src/alpha").rglob("*.py")):
        data, name = path.read_bytes(), path.relative_to(root / "src/alpha").as_posix()
        cuts, _ = pipeline_leaks.find(data, "alpha", name, scan(data), known)
        listed.append({"package": "alpha", "path": name, "bytes": len(data), **({"cuts": cuts} if cuts else {})})
    assert [row["path"] for row in listed if "cuts" in row] == ["sub/bdb.py"]
    pipeline_files.write_rows(root / "prepared/files.jsonl", listed)
    pipeline_files.write_json(root / "prepared/plan.json", {"split": "train"})
    return root


def tokenise(place: Path, out: Path, prepared: str = "prepared", src: str = "src", piece_bytes: int = 60_000, workers: int = 1) -> dict:
    settings = pipeline_tokens.Settings(place / src, out.with_name(out.name + ".work"), place / "tokenizer.bin", 512, 0.5, 1)
    return pipeline_tokens.tokenise(place / prepared, out, settings, workers, piece_bytes)


@pytest.fixture(scope="module")
def shard(place) -> Path:
    tokenise(place, place / "shard")
    return place / "shard"


def test_documents_hold_the_files_in_the_prompt_format(place, shard):
    data = shards.open_shard(shard)
    special = {name: i for i, name in enumerate(prompt.SPECIAL_TOKENS)}
    decode, encode = (getattr(tokenizer.load(place / "tokenizer.bin"), name) for name in ("decode", "encode"))
    kinds = [data.index["kinds"][kind] for kind in data.kinds]
    assert min(map(kinds.count, ("plain", "fill"))) > len(kinds) / 4
    texts = b""
    for i, kind in enumerate(kinds):
        ids = data.ids(i).tolist()
        assert 24 <= len(ids) <= 512 and data.docs[i, 1] - data.docs[i, 0] == 1
        if kind == "plain":
            assert (ids[0], ids[-1]) == (special["<FILE>"], special["</FILE>"])
            text = decode(ids[1:-1])
            assert prompt.encode(["<FILE>", text, "</FILE>"], encode) == ids
        else:
            marks = ["<FIM_PREFIX>", "<FIM_SUFFIX>", "<FIM_MIDDLE>"]
            before, after, middle = map(decode, split_at(ids, [special[mark] for mark in marks]))
            assert prompt.encode([marks[0], before, marks[1], after, marks[2], middle, "<EOS>"], encode) == ids
            text = before + middle + after
        name, _, code = text.partition(b"\n")
        assert name.endswith(b".py")
        texts += code
    whole = b"".join((place / "src/alpha" / row["path"]).read_bytes() for row in pipeline_files.read_rows(place / "prepared/files.jsonl"))
    assert 0.97 * len(whole) < len(texts) <= len(whole)
    assert b"limit_denominator" not in texts and b"class Copied" not in texts  # held-out code and what is near it


def split_at(ids: list[int], marks: list[int]) -> list[list[int]]:
    places = [ids.index(mark) for mark in marks] + [len(ids) - 1]
    return [ids[start + 1 : end] for start, end in zip(places, places[1:], strict=False)]


def test_pieces_make_up_the_text_and_cut_at_definitions(place):
    encode = pipeline_encoder.encoder(place / "tokenizer.bin")
    library = pipeline_encoder.encoder(place / "tokenizer.bin", native=False)
    text = (LIBRARY / "argparse.py").read_bytes()
    assert encode(text).tolist() == library(text).tolist()
    (found,) = pipeline_documents.pieces(pipeline_encoder.Encoded([text], encode), 400, encode)
    parts = [text[piece.first : piece.last] for piece in found]
    assert b"".join(parts) == text and max(piece.tokens for piece in found) <= 400
    assert [len(encode(part)) for part in parts] == [piece.tokens for piece in found]
    heads = [part[:6] for part in parts[1:]]
    assert sum(head.startswith((b"class ", b"def ", b"@", b"#")) for head in heads) > 4
    rng = Random(1)
    for _ in range(200):
        accents = ("é" * 30 + "\nabc\n" * 3).encode()
        start, end = pipeline_documents.hole(accents, rng)
        accents[start:end].decode()


BITS = ["\n", "\r\n", "  ", "\t", "x = 12", "def f():", "#", "a9", "'''", "é", "   \n", ") \n    ", " 7", "  return\n", "\n\n", "(\n "]


@pytest.mark.parametrize("native", (True, False))
@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(st.sampled_from(BITS), max_size=12).map("".join), min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_a_part_of_a_text_has_the_ids_of_its_bytes(place, native, texts, rng):
    """Whatever stands around it; with the tokenizers library, whose pieces are the definition, and with libcromwell."""
    encode = pipeline_encoder.encoder(place / "tokenizer.bin", native)
    encoded, begin = pipeline_encoder.Encoded([text.encode() for text in texts], encode), 0
    for end in encoded.last:
        first, last = sorted(rng.randint(begin, end) for _ in range(2))
        head, asked = rng.choice((b"", b"a/b.py\n")), pipeline_encoder.Asked(encoded)
        parts, again = asked.part(first, last, head), asked.part(begin, end)
        ids = asked.found(encode)
        for own, text in ((parts, head + encoded.text[first:last]), (again, encoded.text[begin:end])):
            assert [one for part in own for one in ids[part].tolist()] == encode(text).tolist()
        begin = end


def test_many_files_at_once_give_the_documents_of_each(place):
    """Against a reference that takes one file, and encodes one text, at a time; with both tokenizers, and with nothing to do."""
    library = pipeline_encoder.encoder(place / "tokenizer.bin", native=False)
    texts = [(LIBRARY / name).read_bytes() for name in NAMES]
    texts += [b"", b"x = 1\n", b"y" * 9000, b"\xef\xbb\xbf" + "\r\n".join("é" * 900).encode()]
    cuts = [[], [(5, 30), (1, 2)], [(1, 10**6)]]

    def files() -> list[pipeline_documents.File]:
        return [pipeline_documents.File(text, f"sub/{i}.py", cuts[i % 3], Random(i)) for i, text in enumerate(texts)]

    for encode in (pipeline_encoder.encoder(place / "tokenizer.bin"), library):
        made = pipeline_documents.documents(files(), 300, 0.5, encode)
        expected = [found for file in files() for found in data_reference.documents(file, 300, 0.5, encode)]
        parts = np.split(made.ids, np.cumsum(made.sizes)[:-1])
        assert [(part.tolist(), pipeline_documents.KINDS[kind]) for part, kind in zip(parts, made.kinds, strict=True)] == expected
        assert len(pipeline_documents.documents([], 300, 0.5, encode).sizes) == 0 and len(expected) > 100
        assert encode.many([b"ab", b"", b"ab c"])[1][:2] == [len(encode(b"ab"))] * 2


def test_any_workers_give_the_same_bytes_and_work_is_taken_up_again(place, shard, tmp_path, monkeypatch):
    index = shards.open_shard(shard).index
    monkeypatch.setattr(pipeline_tokens.importlib.util, "find_spec", lambda name: None)  # a machine without datatrove
    assert tokenise(place, tmp_path / "two", workers=2)["sha256"] == index["sha256"]
    real, done = pipeline_tokens.write_piece, []

    def stops(settings, rank):
        if rank == 2 and len(done) == 2:
            raise KeyboardInterrupt
        done.append(rank)
        real(settings, rank)

    monkeypatch.setattr(pipeline_tokens, "write_piece", stops)
    with pytest.raises(KeyboardInterrupt):
        tokenise(place, tmp_path / "again")
    assert not (tmp_path / "again").exists()
    with pytest.raises(fetch.DataError, match="other settings .piece_bytes"):
        tokenise(place, tmp_path / "again", piece_bytes=70_000)
    done.append(0)
    assert tokenise(place, tmp_path / "again")["sha256"] == index["sha256"]
    assert not (tmp_path / "again.work").exists()


def test_a_full_disk_leaves_no_shard(place, tmp_path):
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, old[1]))
    try:
        with pytest.raises(fetch.DataError, match="nothing was left half-written; make room"):
            with shards.Writer(tmp_path / "shard", ["plain"]) as writer:
                for _ in range(100):
                    writer.add(np.arange(5000, dtype=np.uint16), 1, "plain")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_merging_keeps_every_document(place, shard, tmp_path):
    counts = {"edits": 12, "plain": 4}
    arguments = (place / "src", place / "manifest.json", "train", place / "tokenizer.bin", tmp_path / "edits", counts, 1, 1)
    build.build_shard(*arguments, prepared=place / "prepared")
    assert command.main(["merge", str(shard), str(tmp_path / "edits"), "--out", str(tmp_path / "both")]) == 0
    parts, both = [shards.open_shard(path) for path in (shard, tmp_path / "edits")], shards.open_shard(tmp_path / "both")
    expected = [(part.ids(i).tolist(), part.index["kinds"][part.kinds[i]]) for part in parts for i in range(len(part.docs))]
    assert [(both.ids(i).tolist(), both.index["kinds"][both.kinds[i]]) for i in range(len(both.docs))] == expected
    assert both.index["counts"]["plain"] == sum(part.index["counts"]["plain"] for part in parts)


@pytest.fixture(scope="module")
def packed(place) -> Path:
    """Tranches of the list, two at least."""
    found = tranches.pack(place / "prepared", place / "src", place / "manifest.json", place / "tranches", 400_000, 1)
    assert len(found) == 1
    small = tranches.SLACK_BYTES
    tranches.SLACK_BYTES = 2000
    try:
        found = tranches.pack(place / "prepared", place / "src", place / "manifest.json", place / "small", 40_000, 3)
    finally:
        tranches.SLACK_BYTES = small
    assert len(found) >= 2 and all(row["packed_bytes"] <= 40_000 for row in found)
    assert sum(row["files"] for row in found) == len(NAMES)
    return place / "small"


def test_tranches_turn_back_into_files_and_lists(place, packed, shard, tmp_path, capsys):
    paths = sorted(map(str, packed.glob("*.tar.zst")))
    assert command.main(["unpack", *paths, "--out", str(tmp_path / "all")]) == 0 and capsys.readouterr().out.count("\n") == len(paths)
    for name in (path.relative_to(place / "src") for path in (place / "src/alpha").rglob("*.py")):
        assert (tmp_path / "all/src" / name).read_bytes() == (place / "src" / name).read_bytes()
    assert (tmp_path / "all/files.jsonl").read_bytes() == (place / "prepared/files.jsonl").read_bytes()
    assert [row.name for row in fetch.read_manifest(tmp_path / "all/manifest.json")] == ["alpha"]
    left = sorted(path.name for path in (tmp_path / "all").iterdir())
    assert left == ["files.jsonl", "heldout-bodies.txt", "manifest.json", "plan.json", "src"]
    known = source.known_bodies(tmp_path / "all/src")
    assert known and known <= pipeline_leaks.load(place / "prepared/work/heldout.npz").bodies
    os.symlink(place / "tokenizer.bin", tmp_path / "all/tokenizer.bin")
    index = tokenise(tmp_path / "all", tmp_path / "shard", ".", "src")
    assert index["sha256"] == shards.open_shard(shard).index["sha256"]  # tokenised where it arrived, the same bytes


def test_each_tranche_is_usable_alone_in_any_order(place, packed, tmp_path):
    for path in reversed(sorted(packed.glob("*.tar.zst"))):
        facts = tranches.unpack(path, tmp_path / path.name)
        rows = list(pipeline_files.read_rows(tmp_path / path.name / "files.jsonl"))
        assert rows == facts["files"] and all((tmp_path / path.name / "src" / row["package"] / row["path"]).exists() for row in rows)


@pytest.mark.parametrize("damage", ["cut", "cut at the end", "byte", "more", "empty", "text"])
def test_a_damaged_tranche_is_refused_whole(packed, tmp_path, capsys, damage):
    data = (packed / "tranche-00000.tar.zst").read_bytes()
    middle = len(data) // 2
    changed = {
        "cut": data[:middle],
        "cut at the end": data[:-3],
        "byte": data[:middle] + bytes((data[middle] ^ 4,)) + data[middle + 1 :],
        "more": data + b"more",
        "empty": b"",
        "text": b"not a tranche\n" * 40,
    }[damage]
    path = tmp_path / "tranche-00000.tar.zst"
    path.write_bytes(changed)
    assert command.main(["unpack", str(path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "damaged or incomplete" in error and str(path) in error
    assert list((tmp_path / "out").iterdir()) == []
    (tmp_path / "index.json").write_bytes((packed / "index.json").read_bytes())
    assert command.main(["unpack", str(path), "--out", str(tmp_path / "out")]) == 2 and "sha256 differs" in capsys.readouterr().err


def test_names_that_lead_elsewhere_are_refused(place, tmp_path):
    rows = [{"package": "..", "path": "evil.py", "bytes": 4}]
    (tmp_path / "src").mkdir()
    (tmp_path / "evil.py").write_bytes(b"evil")
    facts = {"format": 1, "tranche": 0, "packages": [], "heldout_bodies": [], "bytes": 4, "files": rows}
    tranches._write(tmp_path / "t.tar.zst", facts, tmp_path / "src", 1)
    with pytest.raises(fetch.DataError, match="names a file 'src/../evil.py'"):
        tranches.unpack(tmp_path / "t.tar.zst", tmp_path / "out")
    with pytest.raises(fetch.DataError, match="holds tranches already"):
        tranches.pack(place / "prepared", place / "src", place / "manifest.json", place / "small", 40 << 20)
