"""Runs the --check command: in a child made before this process gives up its right to write elsewhere, which it would pass on."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
from contextlib import suppress

from cromwell.apply.signals import SIGNALS, held_back
from cromwell.contract.errors import CommandError

_ANSWER = struct.Struct("i")
_NOT_STARTED = 0


class Checker:
    """`command`, to be run with sh in `folder`. Make it early: before locks and descriptors that a child should not have."""

    def __init__(self, folder: str, command: str):
        self.command = command
        orders, self.orders = os.pipe()
        self.answers, answers = os.pipe()
        with held_back():
            self.child = os.fork()
            if self.child == 0:
                try:
                    os.close(self.orders)
                    os.close(self.answers)
                    _serve(folder, command, orders, answers)
                finally:
                    os._exit(0)
        os.close(orders)
        os.close(answers)

    def __call__(self) -> None:
        """Runs the command. CommandError (5) when it fails; killed, with all it started in its group, when this process is interrupted."""
        process = None
        try:
            with held_back():  # a signal while it starts would leave it running
                os.write(self.orders, b"\n")
                process = self._answer()
            if process == _NOT_STARTED:
                raise CommandError(f"--check {self.command}: cannot be started", "sh is needed, and room for a process", 70)
            code = self._answer()
        except BaseException:
            if process:
                with suppress(ProcessLookupError):
                    os.killpg(process, signal.SIGKILL)
                with suppress(OSError, CommandError):
                    self._answer()
            raise
        if code:
            how = f"exited with {code}" if code > 0 else f"was ended by {signal.Signals(-code).name}"
            raise CommandError(f"--check {self.command}: {how}", "every file was put back; without --check the patch would stay", 5)

    def _answer(self) -> int:
        answer = os.read(self.answers, _ANSWER.size)
        if len(answer) < _ANSWER.size:
            raise CommandError(f"--check {self.command}: the process that ran it was killed", "every file was put back", 5)
        number: int = _ANSWER.unpack(answer)[0]
        return number

    def close(self) -> None:
        """Ends the child."""
        os.close(self.orders)
        os.close(self.answers)
        os.waitpid(self.child, 0)


def _serve(folder: str, command: str, orders: int, answers: int) -> None:
    """The child: waits for the order, or for the end of whoever could give it."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # the parent decides; a handler, unlike SIG_IGN, is not passed on to the command
            signal.signal(number, lambda _number, _frame: None)
    if not os.read(orders, 1):
        return
    try:
        # Its output goes to stderr, since stdout is for --json; it gets a process group, so that all of it can be stopped.
        process = subprocess.Popen(["sh", "-c", command], cwd=folder, stdin=subprocess.DEVNULL, stdout=2, process_group=0)
    except OSError:
        os.write(answers, _ANSWER.pack(_NOT_STARTED))
        return
    os.write(answers, _ANSWER.pack(process.pid))
    os.write(answers, _ANSWER.pack(process.wait()))
