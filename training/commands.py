"""Subcommands of a package from one table: `python -m PACKAGE COMMAND`, of which only the command's own module is imported.

Command C-D lives in the module that the table names, as `c_d_arguments(parser)`, which declares its options, and `c_d_command(arguments)`,
which runs it. Raising one of the table's refusals there is one line on stderr and exit code 2."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple, NoReturn

INTERRUPTED = 130  # what a shell expects of a command that was stopped with Ctrl-C


class Table(NamedTuple):
    """The subcommands of a package."""

    package: str
    about: str
    commands: dict[str, tuple[str, str]]  # name: (module of the package, what it does)
    refusals: tuple[type[Exception], ...]  # what a command raises for input that it cannot use


def run(table: Table, argv: list[str] | None = None) -> int:
    """Run the command that `argv` names; returns the exit code. Without any, lists them all."""
    argv = sys.argv[1:] if argv is None else argv
    width = max(map(len, table.commands)) + 2
    listing = "\n".join(f"  {name:<{width}}{about}" for name, (_, about) in table.commands.items())
    top = argparse.ArgumentParser(
        prog=table.package,
        description=table.about,
        epilog="commands:\n" + listing,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("command", choices=table.commands, metavar="COMMAND", help="one of those below; COMMAND --help tells its options")
    if not argv:
        top.print_help()
        return 2
    name = top.parse_args(argv[:1]).command
    module_name, about = table.commands[name]
    module = importlib.import_module(f"{table.package}.{module_name}")
    function = name.replace("-", "_")
    parser = argparse.ArgumentParser(prog=f"{table.package} {name}", description=about[0].upper() + about[1:] + ".")
    getattr(module, function + "_arguments")(parser)
    arguments = parser.parse_args(argv[1:])
    try:
        getattr(module, function + "_command")(arguments)
    except BrokenProcessPool:
        print("error: a process died, perhaps for want of memory; try fewer --processes", file=sys.stderr)
        return 2
    except table.refusals as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def leave(status: int) -> NoReturn:
    """End the process with an exit code; at once after an interrupt, when worker processes may never answer."""
    sys.stdout.flush()
    os._exit(status) if status == INTERRUPTED else sys.exit(status)
