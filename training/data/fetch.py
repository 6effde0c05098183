"""Which packages the training data is made of, and how their Python files get onto this machine.

The manifest pins every wheel by name, version and sha256, and records its licence and its split: whole packages are held out."""

from __future__ import annotations

import argparse
import email
import email.message
import email.parser
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

MANIFEST = Path(__file__).with_name("manifest.json")

HELD_OUT = frozenset(("click", "django", "flask", "httpx", "keras", "requests", "rich", "sqlalchemy", "typer"))
"""Packages that no training document may come from; evaluation edits come from these alone."""

PERMISSIVE = re.compile(
    r"(apache(-| software| license|[ -]2)|^bsd|bsd license|bsd-[23]-clause|^mit\b|mit license|psf|python software foundation|isc\b)", re.I
)
RESTRICTIVE = re.compile(r"\b[AL]?GPL|general public|mozilla|\bMPL|\bEPL|\bCC-BY|proprietary|\bSSPL", re.I)


GONE = "run again if the index was unreachable; if the version was withdrawn, download another one and describe it with `manifest`"
"""What to try when a pinned wheel cannot be had."""


class DataError(Exception):
    """Training data is missing, damaged or not allowed; the text says what and where."""


class Package(NamedTuple):
    """One row of the manifest."""

    name: str
    version: str
    licence: str
    sha256: str
    split: str  # "train" or "heldout"
    wheel: str  # file name


def licence_of(metadata: email.message.Message) -> str:
    """The licence that a wheel's METADATA declares: the SPDX expression, else the classifier, else the first line of License."""
    classifiers = [row.split("::")[-1].strip() for row in metadata.get_all("Classifier", []) if row.startswith("License ::")]
    declared = str(metadata.get("License") or "").strip().splitlines()
    return metadata.get("License-Expression") or "; ".join(classifiers) or (declared[0] if declared else "")


def is_permissive(licence: str) -> bool:
    """True for Apache, BSD, MIT, PSF and ISC licences, and for combinations of nothing else."""
    parts = [part for part in re.split(r"\s+(?:AND|OR)\s+|;\s*", licence) if part]
    return bool(parts) and not RESTRICTIVE.search(licence) and all(PERMISSIVE.search(part) for part in parts)


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_wheel(path: Path) -> Package:
    """The manifest row of a downloaded wheel. Raises DataError when it is no wheel or its licence is not permissive."""
    try:
        with zipfile.ZipFile(path) as wheel:
            name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
            metadata = email.parser.BytesParser().parsebytes(wheel.read(name), headersonly=True)
    except (zipfile.BadZipFile, StopIteration) as error:
        raise DataError(f"{path}: not a wheel") from error
    licence = licence_of(metadata)
    if not is_permissive(licence):
        raise DataError(f"{path}: licence {licence!r} is not on the list of permissive licences")
    package = re.sub(r"[-_.]+", "-", metadata["Name"]).lower()
    return Package(package, metadata["Version"], licence, sha256_of(path), "heldout" if package in HELD_OUT else "train", path.name)


def write_manifest(wheels: Path, manifest: Path) -> tuple[list[Package], list[str]]:
    """Describe every wheel of a folder in `manifest`; returns the rows and the reasons for the wheels left out."""
    rows, refused = [], []
    for path in sorted(wheels.glob("*.whl")):
        try:
            rows.append(describe_wheel(path))
        except DataError as error:
            refused.append(str(error))
    text = json.dumps({"format": 1, "packages": [row._asdict() for row in sorted(rows)]}, indent=1) + "\n"
    temporary = manifest.with_name(manifest.name + ".tmp")
    temporary.write_text(text)
    os.replace(temporary, manifest)
    return rows, refused


def read_manifest(manifest: Path) -> list[Package]:
    """The rows of a manifest. Raises DataError when the file is missing or is no manifest."""
    try:
        data = json.loads(manifest.read_text())
        rows = [Package(**row) for row in data["packages"]]
        formats = data["format"]
    except FileNotFoundError as error:
        raise DataError(f"{manifest}: no such manifest") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{manifest}: not a data manifest ({error})") from error
    if formats != 1:
        raise DataError(f"{manifest}: manifest format {formats}, this version reads format 1")
    return rows


def unpack(wheel: Path, folder: Path) -> int:
    """Write the .py files of a wheel below `folder`, bytes as they are; returns their number. `folder` appears when all are there.

    Raises DataError when the archive is damaged."""
    count = 0
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpack-") as temporary:
        root = Path(temporary) / "files"
        root.mkdir()
        try:
            with zipfile.ZipFile(wheel) as archive:
                for item in archive.infolist():
                    parts = item.filename.split("/")
                    aside = parts[0].endswith((".dist-info", ".data"))
                    if aside or not item.filename.endswith(".py") or item.filename.startswith("/") or ".." in parts:
                        continue
                    path = root.joinpath(*parts)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(archive.read(item))
                    count += 1
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise DataError(f"{wheel}: damaged archive ({error}): remove it and fetch again") from error
        except OSError as error:
            raise DataError(f"{folder}: {error.strerror or error}: nothing was left half-written; make room and fetch again") from error
        os.replace(root, folder)
    return count


def download(row: Package, wheels: Path) -> Path:
    """The path of a manifest row's wheel in folder `wheels`, downloaded unless it is there with the right sha256.

    It asks for the pinned platform's wheel, as the manifest names it; raises DataError when there is none or its digest differs."""
    path = wheels / row.wheel
    if path.exists() and sha256_of(path) != row.sha256:
        path.unlink()
    if not path.exists():
        tags = row.wheel[:-4].split("-")
        python, abi, platforms = tags[-3], tags[-2], tags[-1]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(wheels)]
        if platforms != "any":
            command += ["--implementation", "cp", "--python-version", python[2] + "." + python[3:], "--abi", abi]
            command += [argument for platform in platforms.split(".") for argument in ("--platform", platform)]
        done = subprocess.run([*command, f"{row.name}=={row.version}"], capture_output=True, text=True)
        if done.returncode or not path.exists():
            said = (done.stderr.strip().splitlines() or [f"the index has no {row.wheel}"])[-1].removeprefix("ERROR: ")
            raise DataError(f"{row.name}=={row.version}: cannot be downloaded ({said}): {GONE}")
        if sha256_of(path) != row.sha256:
            raise DataError(f"{path}: sha256 differs from the manifest's")
    return path


def fetch(manifest: Path, out: Path, split: str | None = None) -> tuple[list[str], list[str]]:
    """Download what is missing of the manifest's wheels to out/wheels and unpack them to out/src/<name>.

    Returns one line for each package that is there, and one for each that cannot be had: the rest is fetched all the same. `split`
    restricts it to the training or the held-out packages. Wheels whose sha256 matches and folders that exist are kept, so an interrupted
    fetch goes on where it stopped."""
    wheels = out / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    there, missing = [], []
    for row in read_manifest(manifest):
        if split in (None, row.split):
            try:
                path, folder = download(row, wheels), out / "src" / row.name
                there.append(f"{row.name} {row.version}: " + ("there" if folder.exists() else f"{unpack(path, folder)} files"))
            except DataError as error:
                missing.append(str(error))
    return there, missing


def manifest_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--wheels", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, default=MANIFEST, metavar="FILE")


def manifest_command(arguments: argparse.Namespace) -> None:
    rows, refused = write_manifest(arguments.wheels, arguments.out)
    for line in refused:
        print(f"left out: {line}", file=sys.stderr)
    print(f"{arguments.out}: {len(rows)} packages, {sum(row.split == 'heldout' for row in rows)} of them held out")


def fetch_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--manifest", type=Path, default=MANIFEST, metavar="FILE")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="wheels go to DIR/wheels, files to DIR/src/NAME")
    parser.add_argument("--split", choices=("train", "heldout"), help="only the packages of this split")


def fetch_command(arguments: argparse.Namespace) -> None:
    there, missing = fetch(arguments.manifest, arguments.out, arguments.split)
    for line in there:
        print(line)
    for line in missing:
        print(f"missing: {line}", file=sys.stderr)
    if missing:
        raise DataError(f"{len(missing)} of {len(there) + len(missing)} packages are missing; the others are in {arguments.out}/src")
