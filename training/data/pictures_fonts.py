"""Which fonts pictures are drawn with, where they are looked for, and which ones training never sees.

A font that a system lacks is left out. The table's packages are PyPI ones unless marked Debian; docs/data.md has the two install lines."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from pathlib import Path
from typing import NamedTuple

from PIL import ImageFont

from .fetch import DataError


class Font(NamedTuple):
    """A family and its files by name. Where one has no bold or oblique file, a variable font's axis serves, else the regular file."""

    family: str
    package: str
    regular: str
    bold: str = ""
    italic: str = ""
    seen: bool = True  # False: kept for evaluation


MONO = (
    Font("DejaVu Sans Mono", "matplotlib", "DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf", "DejaVuSansMono-Oblique.ttf"),
    Font("Fira Code", "fontpkg-fira-code", "FiraCode[wght].ttf"),
    Font("JetBrains Mono", "fontpkg-jetbrains-mono", "JetBrainsMono[wght].ttf", "", "JetBrainsMono-Italic[wght].ttf"),
    Font("Roboto Mono", "fontpkg-roboto-mono", "RobotoMono[wght].ttf", "", "RobotoMono-Italic[wght].ttf"),
    Font("Inconsolata", "fontpkg-inconsolata", "Inconsolata[wdth,wght].ttf"),
    Font("Geist Mono", "fontpkg-geist-mono", "GeistMono[wght].ttf", "", "GeistMono-Italic[wght].ttf"),
    Font("DM Mono", "fontpkg-dm-mono", "DMMono-Regular.ttf", "DMMono-Medium.ttf", "DMMono-Italic.ttf"),
    Font("Space Mono", "fontpkg-space-mono", "SpaceMono-Regular.ttf", "SpaceMono-Bold.ttf", "SpaceMono-Italic.ttf"),
    Font("Hack", "fonts-hack (Debian)", "Hack-Regular.ttf", "Hack-Bold.ttf", "Hack-Italic.ttf"),
    Font(
        "Liberation Mono", "fonts-liberation (Debian)", "LiberationMono-Regular.ttf", "LiberationMono-Bold.ttf", "LiberationMono-Italic.ttf"
    ),
    Font("Noto Mono", "fonts-noto-mono (Debian)", "NotoSansMono-Regular.ttf", "NotoSansMono-Bold.ttf"),
    Font("IBM Plex Mono", "fontpkg-ibm-plex-mono", "IBMPlexMono-Regular.ttf", "IBMPlexMono-Bold.ttf", "IBMPlexMono-Italic.ttf", seen=False),
    Font("Source Code Pro", "fontpkg-source-code-pro", "SourceCodePro[wght].ttf", "", "SourceCodePro-Italic[wght].ttf", seen=False),
)
"""For code."""

SANS = (
    Font("DejaVu Sans", "matplotlib", "DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
    Font("DejaVu Serif", "matplotlib", "DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf"),
    Font("Roboto", "fontpkg-roboto", "Roboto[wdth,wght].ttf"),
    Font("Liberation Sans", "fonts-liberation (Debian)", "LiberationSans-Regular.ttf", "LiberationSans-Bold.ttf"),
    Font("Inter", "fontpkg-inter", "Inter[opsz,wght].ttf", seen=False),
    Font("Open Sans", "fontpkg-open-sans", "OpenSans[wdth,wght].ttf", seen=False),
)
"""For tables, mock-ups and the lettering of charts."""

SYSTEM = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts")
WEIGHTS = {False: 400, True: 700}  # regular and bold on a variable font's axis, as OpenType counts


class Face(NamedTuple):
    """A family that this machine has, with the paths of its files."""

    family: str
    seen: bool
    regular: str
    bold: str
    italic: str


def find(table: tuple[Font, ...], folder: Path | None = None) -> tuple[list[Face], list[Font]]:
    """The families of a table that are here, in its order, and those that are not. `folder` is searched before packages and system.

    Raises DataError when none is there, or `folder` is no folder."""
    if folder is not None and not folder.is_dir():
        raise DataError(f"{folder}: no such folder of fonts")
    faces, missing = [], []
    for font in table:
        paths = [_path(name, font.package, folder) if name else "" for name in (font.regular, font.bold, font.italic)]
        if paths[0]:
            faces.append(Face(font.family, font.seen, *paths))
        else:
            missing.append(font)
    if not faces:
        raise DataError("no font found; matplotlib brings DejaVu Sans Mono: install the `train` extra")
    return faces, missing


def tell_missing(missing: list[Font]) -> None:
    """One line on stderr for each family left out."""
    for font in missing:
        print(f"note: no font {font.family}: left out (package {font.package} has it)", file=sys.stderr)


@functools.cache
def _files(root: str) -> dict[str, str]:
    """The .ttf and .otf files below a folder by name; of several with one name the first in the order of paths."""
    found: dict[str, str] = {}
    for path in sorted(Path(root).rglob("*.[to]tf")):
        found.setdefault(path.name, str(path))
    return found


def _path(name: str, package: str, folder: Path | None) -> str:
    roots = [str(folder)] if folder else []
    spec = importlib.util.find_spec(package.replace("-", "_")) if "(" not in package else None
    roots += list(spec.submodule_search_locations or ()) if spec else []
    roots += [os.path.expanduser(root) for root in SYSTEM]
    return next((_files(root)[name] for root in roots if name in _files(root)), "")


@functools.lru_cache(maxsize=256)
def load(face: Face, size: float, bold: bool = False, italic: bool = False) -> ImageFont.FreeTypeFont:
    """A face at a size in pixels, without ligatures or kerning, so that code keeps its columns."""
    path = (face.italic if italic else "") or (face.bold if bold else "") or face.regular
    font = ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
    if "[" in path.rsplit("/", 1)[-1]:
        axes = [WEIGHTS[bold] if axis["name"] == b"Weight" else axis["default"] for axis in font.get_variation_axes()]
        font.set_variation_by_axes(axes)
    return font
