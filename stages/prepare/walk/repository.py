"""Where the git repository around a folder keeps what decides about its files: index, exclude file, core.excludesFile.

Nothing is run: a few small files are read, as git reads them. Conditional includes of the configuration are not followed."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

MAX_CONFIG_BYTES = 1 << 20
MAX_INCLUDES = 10
_SECTION = re.compile(r'\[\s*([\w.-]+)\s*(?:"((?:[^"\\]|\\.)*)")?\s*\]')
_VALUE = re.compile(r"([A-Za-z][\w-]*)\s*(?:=\s*(.*))?$")


class Repository(NamedTuple):
    """The work tree around a folder; `git_folder` is None where there is no repository, and `top` the folder itself."""

    top: str
    git_folder: str | None
    common_folder: str | None


def _git_folder(path: str) -> str | None:
    """The git folder that `path`, a .git, stands for, or None."""
    if os.path.isfile(path):  # a submodule or a linked work tree
        text = _read(path) or ""
        if not text.startswith("gitdir: "):
            return None
        path = os.path.join(os.path.dirname(path), text[len("gitdir: "):].rstrip("\r\n"))
    return path if os.path.isdir(path) and os.path.lexists(os.path.join(path, "HEAD")) else None


def repository_of(folder: str) -> Repository:
    """The repository whose work tree holds `folder`, a real path."""
    top = folder
    while True:
        git = _git_folder(os.path.join(top, ".git"))
        if git is not None:
            common = _read(os.path.join(git, "commondir"))
            return Repository(top, git, os.path.join(git, common.strip()) if common else git)
        parent = os.path.dirname(top)
        if parent == top:
            return Repository(folder, None, None)
        top = parent


def _read(path: str) -> str | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            return stream.read(MAX_CONFIG_BYTES).decode("utf-8", "surrogateescape")
    except OSError:
        return None


def _unquoted(value: str) -> str:
    """A value of a configuration file without its quotes, escapes and comment."""
    out, quoted, at, kept = [], False, 0, 0
    while at < len(value):
        c = value[at]
        if c == "\\" and at + 1 < len(value):
            at += 1
            out.append({"n": "\n", "t": "\t", "b": "\b"}.get(value[at], value[at]))
            kept = len(out)
        elif c == '"':
            quoted = not quoted
        elif c in "#;" and not quoted:
            break
        else:
            out.append(c)
            if quoted or not c.isspace():
                kept = len(out)
        at += 1
    return "".join(out[:kept])


def _settings(path: str, depth: int = 0) -> dict[str, str]:
    """The values of core.excludesfile and extensions.objectformat in a configuration file and those it includes; the last counts."""
    text = _read(path)
    found: dict[str, str] = {}
    section = ""
    for line in re.sub(r"\\\r?\n", "", text or "").splitlines():
        line = line.strip()
        head = _SECTION.match(line)
        if head:
            section = head[1].lower() + (f".{head[2]}" if head[2] is not None else "")
            line = line[head.end():].strip()
        value = _VALUE.match(line)
        if not value or value[2] is None:
            continue
        name = f"{section}.{value[1].lower()}"
        if name in ("core.excludesfile", "extensions.objectformat"):
            found[name] = _unquoted(value[2])
        elif name == "include.path" and depth < MAX_INCLUDES:
            found |= _settings(os.path.join(os.path.dirname(path), os.path.expanduser(_unquoted(value[2]))), depth + 1)
    return found


def git_settings(repository: Repository) -> tuple[str | None, int]:
    """The global ignore file, and the bytes of the repository's object ids."""
    home = os.environ.get("XDG_CONFIG_HOME", "")
    xdg = os.path.join(home if os.path.isabs(home) else os.path.expanduser("~/.config"), "git")
    files = [] if os.environ.get("GIT_CONFIG_NOSYSTEM", "").lower() in ("1", "true", "yes", "on") else \
        [os.environ.get("GIT_CONFIG_SYSTEM", "/etc/gitconfig")]
    own = os.environ.get("GIT_CONFIG_GLOBAL")
    files += [own] if own is not None else [os.path.join(xdg, "config"), os.path.expanduser("~/.gitconfig")]
    found: dict[str, str] = {}
    for path in files:
        found |= _settings(path)
    if repository.common_folder is not None:
        found |= _settings(os.path.join(repository.common_folder, "config"))
    excludes = found.get("core.excludesfile")
    ignore = os.path.join(xdg, "ignore") if excludes is None else \
        os.path.join(repository.top, os.path.expanduser(excludes)) if excludes else None
    return ignore, 32 if found.get("extensions.objectformat", "").lower() == "sha256" else 20
