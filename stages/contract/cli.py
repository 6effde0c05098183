"""Command-line conventions that every command shares: errors, exits, input, output, help (docs/command-line.md).

A command module holds

    @cli.command("cw-encode", examples=[("cw-context a.py -m 'add a docstring' | cw-encode > a.cwa", "encode a context")])
    @click.argument("input", default="-")
    @cli.output_option
    def app(input: str, output: str | None) -> None:
        \"\"\"What it does, for --help.\"\"\"

    def main() -> None:
        cli.command_main(app)

Parsing is click's (typer costs as much again to import; figures in docs/command-line.md). Nothing here imports the binding, numpy or
anything else that a --help does not need.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import click

from cromwell.contract import words
from cromwell.contract.errors import CommandError
from cromwell.contract.process import (
    EXIT_CONFLICT,
    EXIT_GATE,
    EXIT_INTERNAL,
    EXIT_INTERRUPT,
    EXIT_NO_EDIT,
    EXIT_OK,
    EXIT_PIPE,
    EXIT_USAGE,
    guarded,
    leave,
    open_input,
    output,
    usage_error,
)
from cromwell.contract.words import detail, message

__all__ = ["EXIT_CONFLICT", "EXIT_GATE", "EXIT_INTERNAL", "EXIT_INTERRUPT", "EXIT_NO_EDIT", "EXIT_OK", "EXIT_PIPE", "EXIT_USAGE",
           "CommandError", "command", "command_main", "detail", "message", "open_input", "output", "output_option", "run", "use_color"]

# ---- Commands ---------------------------------------------------------------------------------------------------------------


class Command(click.Command):
    """A click command whose help begins with its examples."""

    def __init__(self, *args: Any, examples: Sequence[tuple[str, str]] = (), **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--print-config" in args:  # needs the other options, but no arguments
            ctx.resilient_parsing = True
            super().parse_args(ctx, list(args))
            ctx.resilient_parsing = False
            if ctx.params.get("print_config"):
                from cromwell.contract.settings import print_config

                print_config(ctx.params)
                ctx.exit(0)
            ctx.params.clear()
        return super().parse_args(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write("Examples:\n")
        for line, meaning in self.examples:
            formatter.write(f"  {line}\n      {meaning}\n")
        formatter.write("\n")
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        self.format_options(ctx, formatter)


def command(name: str, examples: Sequence[tuple[str, str]]) -> Callable[[Callable[..., Any]], Command]:
    """A decorator that makes a function a command with -q, -v, --version and a help that begins with `examples` (line, meaning)."""

    # A fixed width keeps the help the same everywhere and spares an import of shutil.
    context_settings = {"help_option_names": ["-h", "--help"], "terminal_width": 96}

    def decorate(function: Callable[..., Any]) -> Command:
        app = click.command(name, cls=Command, examples=examples, context_settings=context_settings)(function)
        app.params += [
            _flag(["-q", "--quiet"], _set_verbosity(-1), "say nothing but errors"),
            _flag(["-v", "--verbose"], _set_verbosity(1), "say more about what happens"),
            _flag(["--version"], _print_version, "print the version and exit"),
        ]
        return app

    return decorate


def _flag(names: list[str], callback: Callable[..., None], text: str) -> click.Option:
    return click.Option(names, is_flag=True, expose_value=False, is_eager=True, callback=callback, help=text)


def _set_verbosity(value: int) -> Callable[[click.Context, click.Parameter, bool], None]:
    def callback(_ctx: click.Context, _parameter: click.Parameter, given: bool) -> None:
        if given:
            words.set_verbosity(value)

    return callback


def _print_version(ctx: click.Context, _parameter: click.Parameter, given: bool) -> None:
    if given:
        from cromwell import __version__

        click.echo(f"{ctx.info_name} (cromwell) {__version__}")
        ctx.exit(0)


output_option = click.option("-o", "--output", metavar="FILE", default=None,
                             help="write to FILE; - is standard output, binary on a terminal included")


def run(app: click.Command, arguments: Sequence[str]) -> int:
    """Runs a command and returns its exit code; every failure becomes one error line on stderr, never a traceback."""
    def act() -> int:
        try:
            with app.make_context(app.name, list(arguments)) as context:
                app.invoke(context)
        except click.exceptions.Exit as leaving:
            return leaving.exit_code
        except click.exceptions.Abort:
            return EXIT_INTERRUPT
        except click.ClickException as error:
            raise usage_error(str(app.name), error.format_message()) from None
        return EXIT_OK

    words.set_verbosity(0)
    return guarded(str(app.name), act)


def command_main(app: click.Command) -> NoReturn:
    """Runs a command on the process's arguments and exits with its code."""
    leave(run(app, sys.argv[1:]))


def use_color(stream: Any) -> bool:
    """Whether `stream` is a terminal that wants colour (https://no-color.org: NO_COLOR set to anything but nothing forbids it)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()
