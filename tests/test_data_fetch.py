"""Fetching the training packages when an index does not give all of them: a folder of wheels stands for the index."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

pytest.importorskip("torch")

from training.data import __main__ as command  # noqa: E402
from training.data import fetch  # noqa: E402


def wheel(folder: Path, name: str, version: str = "1.0", text: str = "x = 1\n") -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/a.py", text)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense-Expression: MIT\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """A folder that pip downloads from, and from nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    return folder


def test_what_is_gone_is_named_and_the_rest_is_fetched(tmp_path, index, capsys):
    for name in ("here", "gone", "later"):
        wheel(index, name)
    manifest = tmp_path / "manifest.json"
    fetch.write_manifest(index, manifest)
    gone = index / "gone-1.0-py3-none-any.whl"
    kept = gone.read_bytes()
    gone.unlink()
    wheel(index, "gone", "2.0")  # another version is no substitute
    assert command.main(["fetch", "--manifest", str(manifest), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert [line.split(":")[0] for line in said.out.splitlines()] == ["here 1.0", "later 1.0"]
    assert said.err.startswith("missing: gone==1.0: cannot be downloaded") and "describe it with `manifest`" in said.err
    assert "1 of 3 packages are missing" in said.err
    assert sorted(path.name for path in (tmp_path / "out/src").iterdir()) == ["here", "later"]
    gone.write_bytes(kept)
    assert command.main(["fetch", "--manifest", str(manifest), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines() == ["gone 1.0: 1 files", "here 1.0: there", "later 1.0: there"]


def test_another_file_under_the_pinned_name_is_refused(tmp_path, index, capsys):
    wheel(index, "one")
    manifest = tmp_path / "manifest.json"
    fetch.write_manifest(index, manifest)
    wheel(index, "one", text="x = 2\n")
    assert command.main(["fetch", "--manifest", str(manifest), "--out", str(tmp_path / "out")]) == 2
    assert "one-1.0-py3-none-any.whl: sha256 differs from the manifest's" in capsys.readouterr().err
    assert not (tmp_path / "out/src").exists()
