"""The run on a borrowed machine, from source files to a pack that answers (docs/training.md, "With a GPU for half an hour"), on the CPU
with a tiny model: each command as it is documented."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tokenizers")
pytest.importorskip("datatrove")

from cromwell import binding  # noqa: E402
from cromwell.contract import prompt  # noqa: E402
from tests.conftest import TINY  # noqa: E402
from training import export, pieces, tokenizer, train  # noqa: E402
from training.data import __main__ as data  # noqa: E402
from training.data import fetch  # noqa: E402

LIBRARY = Path(ast.__file__).parent
FILES = ("argparse.py", "textwrap.py", "shlex.py", "configparser.py", "csv.py", "gettext.py")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Sources of a training package, their manifest, a tokenizer, a configuration."""
    root = tmp_path_factory.mktemp("place")
    (root / "src/alpha").mkdir(parents=True)
    for name in FILES:
        (root / "src/alpha" / name).write_bytes((LIBRARY / name).read_bytes())
    rows = [fetch.Package("alpha", "1", "MIT", "", "train", "")]
    (root / "manifest.json").write_text(json.dumps({"format": 1, "packages": [row._asdict() for row in rows]}))
    vocabulary = tokenizer.train([(LIBRARY / name).read_bytes() for name in FILES], 700)
    (root / "tokenizer.bin").write_bytes(tokenizer.to_section(vocabulary))
    (root / "tiny.json").write_text(json.dumps(TINY | {"vocab_size": vocabulary.size, "places": 16}))
    return root


def test_from_sources_to_an_answer(place, capfd):
    here, manifest = str(place / "src"), ["--manifest", str(place / "manifest.json")]
    assert data.main(["prepare", "--src", here, *manifest, "--out", str(place / "prepared"), "--workers", "1"]) == 0
    assert data.main(["pack", "--prepared", str(place / "prepared"), "--src", here, *manifest, "--out", str(place / "tranches")]) == 0
    tranches = sorted(str(path) for path in (place / "tranches").glob("*.tar.zst"))
    assert data.main(["unpack", *tranches, "--out", str(place / "far")]) == 0

    # From here on nothing is read but what was unpacked.
    manifest = ["--manifest", str(place / "far/manifest.json")]
    common = ["--src", str(place / "far/src"), "--tokenizer", str(place / "tokenizer.bin")]
    listed = ["--prepared", str(place / "far")]
    for command, name, *more in (("tokenise", "plain", *listed, "--workers", "1"),
                                 ("edits", "wide", *listed, *manifest, "--count", "40", "--plain", "0", "--processes", "1"),
                                 ("pictures", "pictures", *manifest, "--count", "6", "--what", "code", "--tiles", "2", "--processes", "1")):
        assert data.main([command, *common, "--out", str(place / name), *more]) == 0  # fmt: skip
    assert data.main(["narrow", str(place / "wide"), "--tokenizer", str(place / "tokenizer.bin"), "--out", str(place / "narrow")]) == 0

    run = place / "run"
    arguments = ["--recipe", "half-hour", "--config", str(place / "tiny.json"), "--tokenizer", str(place / "tokenizer.bin"),
                 "--out", str(run),
                 *(part for name in ("plain", "wide", "narrow", "pictures") for part in ("--data", f"{name}={place / name}")),
                 "--heldout", str(place / "plain"), "--resume", "--minutes", "0.1", "--slice-minutes", "0.04",
                 "--no-compile", "--batch-tokens", "512", "--accumulate", "2", "--max-tokens", "512", "--warmup-steps", "2"]  # fmt: skip
    statuses = []
    while not statuses or statuses[-1] == train.STOPPED_EARLY:
        statuses.append(train.main(arguments))
    assert statuses[-1] == 0 and len(statuses) >= 2, capfd.readouterr().err
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {line["stage"] for line in lines} == {"read", "edit"} and lines[-1]["heldout"][""] > 0

    pack = place / "nano.cwm"
    assert export.main([str(run / "final.safetensors"), "--config", str(run / "final.json"), "--tokenizer", str(place / "tokenizer.bin"),
                        "--quant", "q8", "--out", str(pack), "--pieces", str(place / "sent")]) == 0  # fmt: skip
    joined = place / "joined.cwm"
    assert pieces.main(["join", str(place / "sent/nano.cwm.json"), "--out", str(joined)]) == 0
    assert joined.read_bytes() == pack.read_bytes()
    with binding.Model(joined) as model, binding.Session(model, 256) as session:
        model.verify()
        target = prompt.Target(b"a.py", b"", b"x = 1\n", b"")
        session.feed(prompt.encode(prompt.edit_prompt(target, b"change x to 2"), model.tokenizer.encode))
        answer = binding.generate(session, binding.Sampler(model.info.vocab_size, 256), [prompt.SPECIAL_TOKENS.index("<EDIT_END>")], [], 20)
        assert 0 < len(answer.ids) <= 20


def test_a_checkpoint_that_is_none_is_one_line(place, tmp_path, capsys):
    (tmp_path / "weights.safetensors").write_bytes(b"no weights")
    arguments = [str(tmp_path / "weights.safetensors"), "--config", str(place / "tiny.json"), "--tokenizer", str(place / "tokenizer.bin")]
    assert export.main([*arguments, "--out", str(tmp_path / "out.cwm")]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {tmp_path / 'weights.safetensors'}: ") and told.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["weights.safetensors"]
