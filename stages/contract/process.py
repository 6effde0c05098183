"""What every command does as a process, whatever reads its options: input, output, errors, exits (docs/command-line.md). Without click,
which takes longer to import than many a command to do its work."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, NoReturn

from cromwell.contract.errors import CommandError, exit_code_of
from cromwell.contract.words import one_line

EXIT_OK, EXIT_USAGE, EXIT_CONFLICT, EXIT_NO_EDIT, EXIT_GATE, EXIT_INTERNAL, EXIT_INTERRUPT, EXIT_PIPE = 0, 2, 3, 4, 5, 70, 130, 141


def guarded(name: str, act: Callable[[], int]) -> int:
    """The exit code that `act` returns; of the command `name` every failure becomes one error line on stderr, never a traceback."""
    try:
        code = act()
        if sys.stdout is not None and code == EXIT_OK:
            sys.stdout.flush()
        return code
    except CommandError as error:
        return _fail(error)
    except KeyboardInterrupt:
        return EXIT_INTERRUPT
    except BrokenPipeError:
        _drop_stdout()
        return EXIT_PIPE
    except OSError as error:
        _drop_stdout()
        where = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else name
        hint = "check the path, its permissions and the space left"
        return _fail(CommandError(f"{where}: {error.strerror or error}", hint, exit_code_of(error)))
    except MemoryError:
        return _fail(CommandError(f"{name}: out of memory", "use a smaller input or fewer candidates", EXIT_INTERNAL))
    except Exception as error:
        return _fail(_as_command_error(name, error))


def leave(code: int) -> NoReturn:
    """Exits without taking the interpreter apart, which would cost most of a bare start again (figures in docs/command-line.md);
    everything written is flushed before."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:  # what guarded() could report, it has reported
            pass
    os._exit(code)


def usage_error(name: str, text: str) -> CommandError:
    """Options of the command `name` that do not go together, or are none."""
    return CommandError(f"{name}: {one_line(text)}", f"`{name} --help` lists what it takes", EXIT_USAGE)


def _as_command_error(name: str, error: Exception) -> CommandError:
    """An error of the engine as bad input (2); anything else as internal (70)."""
    binding = sys.modules.get("cromwell.binding")
    if binding is not None and isinstance(error, binding.CromwellError):
        return CommandError(f"{name}: {one_line(str(error))}", f"`{name} --print-config` shows the model and the settings in use")
    trace, place = error.__traceback__, ""
    while trace is not None:
        place = f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})"
        trace = trace.tb_next
    text = one_line(f"{type(error).__name__}: {error}")
    hint = "this is a fault in cromwell; please report the command and its input"
    return CommandError(f"{name}: internal error: {text}{place}", hint, EXIT_INTERNAL)


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
