"""libcromwell called with hostile values: a status each time, never a crash (the calls are in misuse_calls.py)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")  # the small pack is exported from a torch model

import cromwell.binding  # noqa: E402
from tests.engine_models import FORMATS, random_model, write_pack  # noqa: E402

CALLS = Path(__file__).resolve().parent / "misuse_calls.py"


@pytest.mark.parametrize("form", FORMATS)
def test_every_function_survives_hostile_values(tmp_path, form):
    config = FORMATS[form]
    pack, other = (write_pack(random_model(config, spread), config, form, tmp_path / f"{spread}.cwm") for spread in (0.05, 0.06))
    site = Path(cromwell.binding.__file__).parent.parent.parent
    command, environment = [sys.executable, "-X", "faulthandler", CALLS, pack, other], os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    last = done.stdout.splitlines()[-1:] or ["nothing"]
    assert done.returncode in (0, 1), f"ended with {done.returncode} in the call {last[0]}\n{done.stderr[-3000:]}"
    assert done.returncode == 0, done.stderr
