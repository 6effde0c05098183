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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, NoReturn

import click

from cromwell.contract import words
from cromwell.contract.errors import CommandError, exit_code_of
from cromwell.contract.words import detail, message, one_line

__all__ = ["CommandError", "command", "command_main", "detail", "message", "open_input", "output", "output_option", "run", "use_color"]

EXIT_OK, EXIT_USAGE, EXIT_CONFLICT, EXIT_NO_EDIT, EXIT_GATE, EXIT_INTERNAL, EXIT_INTERRUPT, EXIT_PIPE = 0, 2, 3, 4, 5, 70, 130, 141

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
    words.set_verbosity(0)
    try:
        with app.make_context(app.name, list(arguments)) as context:
            app.invoke(context)
        if sys.stdout is not None:
            sys.stdout.flush()
        return EXIT_OK
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        return _fail(CommandError(f"{app.name}: {one_line(error.format_message())}", f"`{app.name} --help` lists what it takes"))
    except CommandError as error:
        return _fail(error)
    except (KeyboardInterrupt, click.exceptions.Abort):
        return EXIT_INTERRUPT
    except BrokenPipeError:
        _drop_stdout()
        return EXIT_PIPE
    except OSError as error:
        _drop_stdout()
        where = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else str(app.name)
        hint = "check the path, its permissions and the space left"
        return _fail(CommandError(f"{where}: {error.strerror or error}", hint, exit_code_of(error)))
    except MemoryError:
        return _fail(CommandError(f"{app.name}: out of memory", "use a smaller input or fewer candidates", EXIT_INTERNAL))
    except Exception as error:
        return _fail(_as_command_error(app, error))


def command_main(app: click.Command) -> NoReturn:
    """Runs a command on the process's arguments and exits with its code.

    Exits without taking the interpreter apart, which would cost most of a bare start again (figures in docs/command-line.md);
    everything written is flushed before."""
    code = run(app, sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:  # what run() could report, it has reported
            pass
    os._exit(code)


def _as_command_error(app: click.Command, error: Exception) -> CommandError:
    """An error of the engine as bad input (2); anything else as internal (70)."""
    binding = sys.modules.get("cromwell.binding")
    if binding is not None and isinstance(error, binding.CromwellError):
        return CommandError(f"{app.name}: {one_line(str(error))}", f"`{app.name} --print-config` shows the model and the settings in use")
    trace, place = error.__traceback__, ""
    while trace is not None:
        place = f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})"
        trace = trace.tb_next
    text = one_line(f"{type(error).__name__}: {error}")
    hint = "this is a fault in cromwell; please report the command and its input"
    return CommandError(f"{app.name}: internal error: {text}{place}", hint, EXIT_INTERNAL)


def _fail(error: CommandError) -> int:
    if sys.stderr is not None:
        text = f"error: {one_line(error.where_and_what)}\n" + (f"\nhint: {one_line(error.hint)}\n" if error.hint else "")
        try:
            sys.stderr.write(text.encode("utf-8", "backslashreplace").decode("utf-8"))
            sys.stderr.flush()
        except OSError:
            pass
    return error.exit_code


def _drop_stdout() -> None:
    """Points stdout at nothing, so that the flush at exit cannot fail again."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)
    except OSError:
        pass


def use_color(stream: Any) -> bool:
    """Whether `stream` is a terminal that wants colour (https://no-color.org: NO_COLOR set to anything but nothing forbids it)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


# ---- Input and output -------------------------------------------------------------------------------------------------------


def open_input(path: str) -> BinaryIO:
    """Opens a file for reading, or stdin for "-". CommandError when it is missing, a folder, unreadable, or stdin is a terminal."""
    if path == "-":
        if sys.stdin is None:
            raise CommandError("standard input: closed", "give a file name, or pipe something in")
        if sys.stdin.isatty():
            raise CommandError("standard input: is a terminal", "give a file name, or pipe the output of another command in")
        return sys.stdin.buffer
    try:
        stream = open(path, "rb")
    except FileNotFoundError:
        raise CommandError(f"{path or repr(path)}: no such file", "check the name and the current folder") from None
    except IsADirectoryError:
        raise CommandError(f"{path}: is a folder", "name a file in it") from None
    except PermissionError:
        raise CommandError(f"{path}: permission denied", "check who may read it") from None
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", "check the name", exit_code_of(error)) from None
    except ValueError as error:  # a NUL in the name
        raise CommandError(f"{path}: {error}", "check the name") from None
    return stream


@contextmanager
def output(path: str | None, binary: bool) -> Iterator[BinaryIO]:
    """Gives a stream to write to and completes it on leaving; a file appears whole or not at all.

    None is stdout, refused on a terminal when `binary`; "-" (an explicit `-o -`) is stdout whatever it is. A file is written to a
    temporary file beside it and renamed, keeping the mode of an existing one; anything but a regular file is written in place."""
    if path is None or path == "-":
        yield _stdout(binary and path is None)
        sys.stdout.flush()
        return
    target = os.path.realpath(path)
    try:
        if os.path.exists(target) and not os.path.isfile(target):
            with open(target, "wb") as stream:  # a pipe or device; a folder fails here
                yield stream
            return
        temporary = f"{target}.{os.getpid()}.tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except OSError as error:
        hint = "name a file in a folder you may write to"
        raise CommandError(f"{path or repr(path)}: {error.strerror}", hint, exit_code_of(error)) from None
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
        if os.path.exists(target):
            os.chmod(temporary, os.stat(target).st_mode & 0o777)
        os.replace(temporary, target)
    except BaseException:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise


def _stdout(refuse_terminal: bool) -> BinaryIO:
    if sys.stdout is None:
        raise CommandError("standard output: closed", "use -o FILE")
    if refuse_terminal and sys.stdout.isatty():
        raise CommandError("standard output: is a terminal and this is binary", "pipe it on, use -o FILE, or force it with -o -")
    sys.stdout.flush()
    return sys.stdout.buffer
