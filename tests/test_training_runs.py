"""Runs that go wrong or go on: resuming, several processes, killed processes, full disks, slices, pieces (docs/training.md)."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("numpy")

from tests.training_runs import arguments_of, command, environment, make_folder, same_state, steps_of, trainer_of  # noqa: E402
from training import checkpoint as checkpoints  # noqa: E402
from training import pieces  # noqa: E402
from training.train import STOPPED_EARLY, clock_time, main  # noqa: E402


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple[str, str]:
    """Texts, and texts with eight pictures, in shares of 3 to 1."""
    path = tmp_path_factory.mktemp("data")
    return f"texts={make_folder(path / 'texts', 5, 60, 0)}@3", f"pictures={make_folder(path / 'pictures', 6, 16, 8)}@1"


EVERYTHING = {"accumulate": 2, "mask": "spans", "pair_weight": 0.2, "pair_share": 0.5, "steps": 16}
"""Every loss, several micro-batches a step."""


@pytest.mark.parametrize("more", [{}, {"optimizer": "adamw", "other_rate": 1e-3}], ids=["muon", "adamw"])
def test_half_and_resume_equals_the_whole_with_everything_on(data, tmp_path, more):
    whole, half, rest = (trainer_of(*data, **EVERYTHING, **more) for _ in range(3))
    losses = steps_of(whole, 16)
    assert steps_of(half, 7) == losses[:7]
    rest.restore(checkpoints.load(half.save(tmp_path)))
    assert steps_of(rest, 9) == losses[7:]
    assert (rest.step, rest.tokens, rest.position) == (whole.step, whole.tokens, whole.position)
    assert same_state(whole, rest) == [] and min(whole.position.epochs) >= 0 and max(whole.position.epochs) > 0


def test_a_run_starts_from_the_weights_of_another(data, tmp_path, capsys):
    first = trainer_of(*data, steps=2)
    steps_of(first, 2)
    weights = tmp_path / "weights.safetensors"
    checkpoints.save_weights(weights, first.model.state_dict(), {})
    second = trainer_of(*data, steps=2)
    second.start_from(weights)
    for model in (second.model, second.average):
        assert all(torch.equal(tensor, first.model.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert second.step == 0
    checkpoints.save_weights(weights, {"ar.norm": torch.zeros(3)}, {})
    assert main([*arguments_of(tmp_path / "run", *data), "--steps", "1", "--start", str(weights)]) == 2
    assert "ar.guide_gate: missing" in capsys.readouterr().err
    weights.write_bytes(b"no weights")
    assert main([*arguments_of(tmp_path / "run", *data), "--steps", "1", "--start", str(weights)]) == 2
    assert str(weights) in capsys.readouterr().err


def test_two_processes_train_as_one_with_all_micro_batches(data, tmp_path):
    """The same documents a step, so the same losses to 1e-6 and the same weights up to rounding. The losses in metrics.jsonl are those of
    both processes."""
    goal = ("--steps", "4", "--log-steps", "1", "--mask", "spans", "--pair-weight", "0.2", "--pair-share", "0.5")
    done = command(tmp_path / "two" / "run", *goal, data=data, processes=2)
    assert done.returncode == 0, done.stderr
    assert main([*arguments_of(tmp_path / "one" / "run", *data), *goal, "--accumulate", "2"]) == 0
    one, two = ([json.loads(line) for line in (tmp_path / name / "run/metrics.jsonl").read_text().splitlines()] for name in ("one", "two"))
    assert len(one) == len(two) == 4
    for mine, theirs in zip(one, two, strict=True):
        assert (mine["tokens"], mine["scored"]) == (theirs["tokens"], theirs["scored"])
        for name in ("token_loss", "jepa_loss", "vision_loss", "pair_loss"):
            assert abs(mine[name] - theirs[name]) <= 1e-6, (mine["step"], name)
    weights = [checkpoints.load_file(tmp_path / name / "run/final.safetensors") for name in ("one", "two")]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-3, atol=2e-4, msg=lambda text, name=name: f"{name}: {text}")


KILLED = """
import os, sys
from training import checkpoint
write = checkpoint.save_file
def half(tensors, path):
    write(tensors, path)
    if "00000004" in str(path) and path.name == "heads.safetensors":
        os.truncate(path, 100)
        os.kill(os.getpid(), 9)
checkpoint.save_file = half
from training.train import main
main(sys.argv[1:])
"""


def test_a_process_killed_while_it_saves_resumes_from_the_checkpoint_before(data, tmp_path):
    """And ends where the run that nobody killed ends, to the last bit."""
    out = tmp_path / "run"
    arguments = [*arguments_of(out, *data), "--steps", "6", "--checkpoint-minutes", "0", "--resume"]
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], capture_output=True, timeout=120, env=environment())
    assert killed.returncode == -signal.SIGKILL
    assert (out / ".draft-00000004").is_dir() and checkpoints.latest(out).name == "checkpoint-00000003"
    assert main(arguments) == 0
    assert not list(out.glob(".draft-*"))
    whole = trainer_of(*data, steps=6)
    steps_of(whole, 6)
    final = checkpoints.load_file(out / "final.safetensors")
    assert all(torch.equal(tensor, final[name]) for name, tensor in whole.model.state_dict().items())


@pytest.mark.parametrize("damage", ["truncated", "missing", "no state"])
def test_a_damaged_checkpoint_is_passed_over(data, tmp_path, damage, capsys):
    trainer = trainer_of(*data)
    for _ in range(2):
        steps_of(trainer, 1)
        newest = trainer.save(tmp_path)
    if damage == "truncated":
        os.truncate(newest / "average.safetensors", 1000)
    else:
        (newest / ("optimizer.safetensors" if damage == "missing" else "state.json")).unlink()
    assert checkpoints.latest(tmp_path).name == "checkpoint-00000001"
    os.truncate(tmp_path / "checkpoint-00000001" / "model.safetensors", 0)
    assert main([*arguments_of(tmp_path, *data), "--steps", "4", "--resume"]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path}: every checkpoint is damaged: checkpoint-00000001, checkpoint-00000002\n"


def test_a_full_disk_leaves_the_checkpoint_before_and_one_line(data, tmp_path, capsys):
    """The disk is a limit on the size of files: the first checkpoint is made without one."""
    out = tmp_path / "run"
    assert main([*arguments_of(out, *data), "--steps", "2"]) == 0
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    try:
        status = main([*arguments_of(out, *data), "--steps", "4", "--resume"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    told = capsys.readouterr().err.splitlines()[-1]
    assert status == 1 and told.startswith(f"error: {out}: cannot write the checkpoint of step 4: ")
    assert told.endswith("checkpoint-00000002 stays: make room and go on with --resume")
    assert [path.name for path in out.glob("*checkpoint-*")] == ["checkpoint-00000002"] and not list(out.glob(".draft-*"))
    assert main([*arguments_of(out, *data), "--steps", "4", "--resume"]) == 0


def test_a_loss_that_is_not_finite_ends_the_command_and_keeps_the_checkpoint(data, tmp_path, capsys):
    out = tmp_path / "run"
    assert main([*arguments_of(out, *data), "--steps", "2"]) == 0
    saved = checkpoints.load(checkpoints.latest(out))
    saved.model["ar.norm"][0] = float("nan")
    checkpoints.save(out, 3, saved._replace(state={**saved.state, "step": 3}))
    assert main([*arguments_of(out, *data), "--steps", "6", "--resume"]) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("error: step 3: the loss or its gradient is not finite (nan)")
    assert checkpoints.latest(out).name == "checkpoint-00000003"


def test_a_second_process_in_the_folder_is_refused(data, tmp_path, capsys):
    import fcntl

    out = tmp_path / "run"
    out.mkdir()
    with (out / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert main([*arguments_of(out, *data), "--steps", "2"]) == 1
    assert "another process trains in this folder" in capsys.readouterr().err


def test_times_of_the_clock():
    import datetime

    now = datetime.datetime(2030, 1, 31, 13, 20, 30)
    assert clock_time("13:21", now) - now.timestamp() == 30
    assert clock_time("13:20", now) - now.timestamp() == 24 * 3600 - 30
    with pytest.raises(ValueError, match="--until 25:00: expected a time as HH:MM"):
        clock_time("25:00", now)


def test_a_run_in_slices_ends_where_the_whole_run_ends(data, tmp_path):
    """Slices of no minutes: one step each."""
    out = tmp_path / "run"
    arguments = [*arguments_of(out, *data), "--steps", "3", "--resume", "--slice-minutes", "1e-9"]
    assert [main(arguments) for _ in range(3)] == [STOPPED_EARLY, STOPPED_EARLY, 0]
    whole = trainer_of(*data, steps=3)
    steps_of(whole, 3)
    final = checkpoints.load_file(out / "final.safetensors")
    assert all(torch.equal(tensor, final[name]) for name, tensor in whole.model.state_dict().items())
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]


def test_until_ends_the_run_by_the_clock(data, tmp_path, monkeypatch):
    from training import train

    now = time.time()
    monkeypatch.setattr(train, "clock_time", lambda text, _: now + 5.0)
    out = tmp_path / "run"
    assert main([*arguments_of(out, *data), "--until", "12:00", "--slice-minutes", "0.03"]) == STOPPED_EARLY
    assert main([*arguments_of(out, *data), "--until", "12:00", "--resume"]) == 0
    assert (out / "final.safetensors").exists() and 4.5 < time.time() - now < 60.0
    rates = [json.loads(line)["rate"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert rates[-1] == pytest.approx(0.05, abs=0.02), "the rate has come down by then"


def test_a_detached_run_goes_on_alone_and_stops_with_a_checkpoint_when_asked(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    out = tmp_path / "run"
    arguments = [*arguments_of(out, *data), "--minutes", "10", "--detach"]
    assert main([*arguments, "--precision", "f8"]) == 2
    assert capsys.readouterr().err.startswith("error: recipe hybrid: precision is one of")
    assert main(arguments) == 0
    process = int(capsys.readouterr().out.split()[1])
    assert os.getsid(process) == process
    os.kill(process, signal.SIGTERM)
    for _ in range(600):
        if checkpoints.latest(out):
            break
        time.sleep(0.1)
    assert checkpoints.latest(out) and not (out / "final.safetensors").exists() and (out / "log.txt").exists()


def test_pieces_make_up_their_file_again(tmp_path, capsys):
    data = random.Random(1).randbytes(3_000_000)
    (tmp_path / "model.cwm").write_bytes(data)
    assert pieces.main(["split", str(tmp_path / "model.cwm"), "--out", str(tmp_path / "sent"), "--mib", "1"]) == 0
    names = sorted(path.name for path in (tmp_path / "sent").iterdir())
    assert names == ["model.cwm.000", "model.cwm.001", "model.cwm.002", "model.cwm.json"]
    assert max(path.stat().st_size for path in (tmp_path / "sent").iterdir()) <= 1 << 20
    whole = tmp_path / "again.cwm"
    assert pieces.main(["join", str(tmp_path / "sent/model.cwm.json"), "--out", str(whole)]) == 0
    assert whole.read_bytes() == data
    whole.unlink()
    (tmp_path / "sent/model.cwm.001").write_bytes(b"x" * (1 << 20))
    capsys.readouterr()
    assert pieces.main(["join", str(tmp_path / "sent/model.cwm.json"), "--out", str(whole)]) == 2
    assert "model.cwm.001: differs from its digest" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.cwm", "sent"], "nothing half-written stays"


def test_an_empty_file_is_no_piece(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    pieces.join(pieces.split(tmp_path / "empty", tmp_path / "sent", 10), tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == b"" and len(list((tmp_path / "sent").iterdir())) == 1


def test_the_folder_of_a_checkpoint_is_named_when_it_cannot_be_read(data, tmp_path):
    trainer = trainer_of(*data)
    folder = trainer.save(tmp_path)
    size = (folder / "model.safetensors").stat().st_size
    (folder / "model.safetensors").write_bytes(b"\xff" * size)
    with pytest.raises(checkpoints.CheckpointError, match="remove this folder"):
        checkpoints.load(Path(folder))
