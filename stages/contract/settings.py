"""Settings of every command and where each came from: flags > CROMWELL_* > project file > user file > default.

The project file is `.cromwell.toml` in the current folder or one above it (the search ends after a folder with `.git`, and before one
that anybody may write to); the user file is `$XDG_CONFIG_HOME/cromwell/config.toml`. Both hold `name = value` lines of the names below;
a project file cannot move or size the cache or the undo store, since it may come with a stranger's code."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cromwell.contract.errors import CommandError

PROJECT_FILE = ".cromwell.toml"
MAX_FILE_BYTES = 1 << 20


class Settings(NamedTuple):
    """The settled values. `origins` says for each name where its value came from."""

    model: str | None  # path of a model pack; None: the one installed with the package
    threads: int  # 0: one a physical core
    isa: str | None  # None: the best this machine has
    cache: bool
    cache_dir: str
    cache_size_bytes: int
    undo_count: int  # patches that cw-apply keeps for --undo
    undo_size_bytes: int
    origins: dict[str, str]


def _path(text: str, folder: str) -> str:
    if not text or "\0" in text:
        raise ValueError("is not a path")
    return os.path.join(folder, os.path.expanduser(text))


def _threads(text: str, _folder: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 64:
        raise ValueError("is not a number of threads from 0 to 64")
    return int(text)


def _count(text: str, _folder: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 10_000:
        raise ValueError("is not a number from 0 to 10000")
    return int(text)


def _name(text: str, _folder: str) -> str:
    if not text.isascii() or not text.isalnum():
        raise ValueError("is not the name of an instruction set")
    return text


def _flag(text: str, _folder: str) -> bool:
    value = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}.get(text.lower())
    if value is None:
        raise ValueError("is neither true nor false")
    return value


def _size(text: str, _folder: str) -> int:
    factor = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}.get(text[-1:].upper(), 1)
    digits = text[:-1] if factor > 1 else text
    if not digits.isascii() or not digits.isdigit() or len(digits) > 15:
        raise ValueError("is not a size such as 500M or 2G")
    return int(digits) * factor


class _Setting(NamedTuple):
    parse: Callable[[str, str], Any]  # text, folder that a relative path starts from -> value; ValueError says what it is not
    default: Callable[[], Any]
    variable: str
    in_project: bool = True


def _default_cache() -> str:
    return os.path.join(_xdg("XDG_CACHE_HOME", ".cache"), "cromwell")


_SETTINGS = {
    "model": _Setting(_path, lambda: None, "CROMWELL_MODEL"),
    "threads": _Setting(_threads, lambda: 0, "CROMWELL_THREADS"),
    "isa": _Setting(_name, lambda: None, "CROMWELL_ISA"),
    "cache": _Setting(_flag, lambda: True, "CROMWELL_CACHE_ENABLED"),
    "cache_dir": _Setting(_path, _default_cache, "CROMWELL_CACHE", in_project=False),
    "cache_size": _Setting(_size, lambda: 2 << 30, "CROMWELL_CACHE_SIZE", in_project=False),
    "undo_count": _Setting(_count, lambda: 100, "CROMWELL_UNDO_COUNT", in_project=False),
    "undo_size": _Setting(_size, lambda: 512 << 20, "CROMWELL_UNDO_SIZE", in_project=False),
}
_SIZES = ("cache_size", "undo_size")


def _xdg(variable: str, fallback: str) -> str:
    """A folder of the XDG base directory specification; relative values are ignored as it asks."""
    value = os.environ.get(variable, "")
    return value if os.path.isabs(value) else os.path.join(os.path.expanduser("~"), fallback)


def load(flags: Mapping[str, Any]) -> Settings:
    """Settles every setting; `flags` holds the options given (None: not given). CommandError names the place of a bad value."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, setting in _SETTINGS.items():
        if flags.get(name) is not None:
            values[name], origins[name] = _parsed(name, flags[name], os.getcwd, f"--{name.replace('_', '-')}"), "flag"
        elif os.environ.get(setting.variable):
            values[name] = _parsed(name, os.environ[setting.variable], os.getcwd, setting.variable)
            origins[name] = setting.variable
    for path, is_project in ((_project_file(), True), (os.path.join(_xdg("XDG_CONFIG_HOME", ".config"), "cromwell", "config.toml"), False)):
        for name, value in _file_values(path, is_project).items() if path else ():
            if name not in values:
                values[name], origins[name] = value, path
    for name, setting in _SETTINGS.items():
        if name not in values:
            values[name], origins[name] = setting.default(), "default"
    for name in _SIZES:
        values[f"{name}_bytes"] = values.pop(name)
    return Settings(**values, origins=origins)


def _parsed(name: str, value: Any, folder: Callable[[], str], where: str) -> Any:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    try:
        return _SETTINGS[name].parse(text, folder() if _SETTINGS[name].parse is _path else "")
    except ValueError as error:
        raise CommandError(f"{where}: {text!r} {error}", "`--print-config` shows every setting and its origin") from None


def _project_file() -> str | None:
    """The nearest project file, or None."""
    try:
        folder = os.getcwd()
    except OSError:  # the current folder was removed
        return None
    while True:
        path = os.path.join(folder, PROJECT_FILE)
        try:
            if os.stat(folder).st_mode & 0o002:
                return None
            if os.path.isfile(path):
                return path
        except OSError:
            return None
        parent = os.path.dirname(folder)
        if parent == folder or os.path.exists(os.path.join(folder, ".git")):
            return None
        folder = parent


def _file_values(path: str, is_project: bool) -> dict[str, Any]:
    """The settings in a file; none when there is no file."""
    try:
        with open(path, "rb") as stream:
            text = stream.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", "remove the file or make it readable") from None
    import tomllib

    try:
        if len(text) > MAX_FILE_BYTES:
            raise ValueError("is larger than a settings file")
        table = tomllib.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{path}: {error}", "it holds lines such as  threads = 2  in TOML") from None
    values = {}
    for name, value in table.items():
        if name not in _SETTINGS or is_project and not _SETTINGS[name].in_project:
            why = "belongs into the user file" if name in _SETTINGS else "is no setting"
            raise CommandError(f"{path}: {name!r} {why}", "settings are " + ", ".join(_SETTINGS))
        if not isinstance(value, (str, int, float, bool)) or isinstance(value, float) and not math.isfinite(value):
            raise CommandError(f"{path}: {name} is not a plain value", "it holds lines such as  threads = 2  in TOML")
        values[name] = _parsed(name, value, lambda: os.path.dirname(path), f"{path}: {name}")
    return values


# ---- On a command -----------------------------------------------------------------------------------------------------------


def print_config(flags: Mapping[str, Any]) -> None:
    """Prints every setting with its origin, the options of a command (None: not given) taken into account."""
    settings = load({name: flags.get(name) for name in _SETTINGS})
    for name in _SETTINGS:
        value = getattr(settings, f"{name}_bytes" if name in _SIZES else name)
        text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        print(f"{name} = {text}  # {settings.origins[name]}")


_OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "model": ("--model", {"metavar": "FILE", "help": "model pack to use instead of the installed one"}),
    "threads": ("--threads", {"metavar": "N", "help": "threads; 0 is one a physical core; never changes a result"}),
    "isa": ("--isa", {"metavar": "NAME", "help": "instruction set: scalar, avx2 or avx512vnni instead of the best there is"}),
    "cache": ("--cache/--no-cache", {"default": None, "help": "use the cache of states and results, or leave it alone"}),
}


def options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that gives a command the options of these settings and --print-config; the function receives `settings`."""
    import click  # only commands come here

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def with_settings(print_config: bool, **arguments: Any) -> Any:  # print_config was dealt with by cli.Command
            flags = {name: arguments.pop(name) for name in names}
            return function(**arguments, settings=load(flags))

        decorated = click.option("--print-config", is_flag=True, help="print every setting with its origin and exit")(with_settings)
        for name in reversed(names):
            declaration, attributes = _OPTIONS[name]
            decorated = click.option(declaration, name, **attributes)(decorated)
        return decorated

    return decorate
