"""The trainer: losses against plain ones, optimizer, batches, resuming, processes, refusals (docs/training.md)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
numpy = pytest.importorskip("numpy")

import torch.nn.functional as F  # noqa: E402, N812

from training import checkpoint as checkpoints  # noqa: E402
from training import config as configs  # noqa: E402
from training.batches import IMAGE_TOKEN, DataError, Documents  # noqa: E402
from training.data.pictures_tiles import cut  # noqa: E402
from training.losses import CHUNK, STEP_WEIGHTS, collapse_figures, jepa_loss, token_loss  # noqa: E402
from training.model.model import Model  # noqa: E402
from training.optimizer import MuonAdamW, OptimizerSettings, orthogonalise  # noqa: E402
from training.train import Settings, Trainer, TrainingStopped, main, rate_scale  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
VALUES = {
    "name": "tiny", "vocab_size": 61, "max_positions": 128, "norm_eps": 1e-6, "rope_base": 10000.0,
    "tie_embeddings": True, "qk_norm": True, "token_shift": True, "places": 0, "logit_softcap": 15.0,
    "vision": {"stem_channels": 8, "cnn_channels": 8, "expansion": 2, "hidden": 16, "mlp": 16, "layers": 1, "heads": 1,
               "window": 16, "global_layers": [0], "shuffle": 8, "max_tiles": 1},
    "language": {"hidden": 32, "mlp": 48, "layers": 1, "heads": 2, "kv_heads": 1},
    "fusion": {"hidden": 32, "mlp": 32, "layers": 2, "heads": 2},
    "jepa": {"hidden": 32, "mlp": 32, "layers": 1, "heads": 2, "kv_heads": 2, "steps": 3},
    "ar": {"hidden": 32, "mlp": 48, "layers": 1, "heads": 2, "kv_heads": 1},
}  # fmt: skip
TINY = configs.from_dict(VALUES)
FAST = {"batch_tokens": 256, "warmup_steps": 2, "log_steps": 2, "figure_steps": 3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """80 documents that copy: a random text, then the same again, which is scored; four of them have a picture."""
    path = tmp_path_factory.mktemp("data")
    chance = numpy.random.default_rng(3)
    tokens, docs, tile_of = [], [], []
    for number in range(80):
        half = chance.integers(20, 61, chance.integers(5, 30)).tolist()
        start = len(tokens)
        tokens += [*half, IMAGE_TOKEN if number < 4 else 2, *half]
        docs.append((start, start + len(half) + 1, len(tokens)))
        tile_of.append(number if number < 4 else -1)
    numpy.save(path / "tokens.npy", numpy.array(tokens, dtype=numpy.uint16))
    numpy.save(path / "docs.npy", numpy.array(docs, dtype=numpy.int64))
    numpy.save(path / "kinds.npy", numpy.arange(80, dtype=numpy.uint8) % 2)
    numpy.save(path / "tile_of.npy", numpy.array(tile_of, dtype=numpy.int64))
    frames = [cut(chance.integers(0, 256, (256, 256, 3), dtype=numpy.uint8)).frames[0] for _ in range(4)]
    numpy.save(path / "grids.npy", numpy.array([[number < 4] * 2 for number in range(80)], dtype=numpy.uint8))
    numpy.save(path / "tile_ends.npy", numpy.cumsum([len(frame) for frame in frames]))
    (path / "tiles.bin").write_bytes(b"".join(frames))
    (path / "index.json").write_text(json.dumps({"kinds": ["even", "odd"]}))
    return path


@pytest.mark.parametrize("cap", [0.0, 15.0])
@pytest.mark.parametrize("count", [1, CHUNK, CHUNK + 3])
def test_token_loss_equals_cross_entropy_and_its_gradients(cap, count):
    torch.manual_seed(0)
    hidden, head = torch.randn(count, 24), torch.randn(61, 24)
    targets, weights = torch.randint(0, 61, (count,)), torch.rand(count)
    found = []
    for plain in (False, True):
        h, w = hidden.clone().requires_grad_(), head.clone().requires_grad_()
        if plain:
            logits = h @ w.T
            losses = F.cross_entropy(cap * torch.tanh(logits / cap) if cap else logits, targets, reduction="none")
            total = losses @ weights
        else:
            total, losses = token_loss(h, w, targets, weights, cap)
        (3 * total).backward()
        found.append((total.detach(), losses.detach(), h.grad, w.grad))
    for own, reference in zip(*found, strict=True):
        torch.testing.assert_close(own, reference, rtol=1e-4, atol=1e-5)


def test_jepa_loss_equals_a_plain_double_loop():
    torch.manual_seed(0)
    predictions, target, lengths = [torch.randn(3, 9, 8) for _ in range(3)], torch.randn(3, 9, 8), [9, 5, 2]
    total = 0.0
    for k, (prediction, weight) in enumerate(zip(predictions, STEP_WEIGHTS, strict=True), start=1):
        terms = []
        for row, length in enumerate(lengths):
            for t in range(length - k):
                goal = target[row, t + k]
                goal = (goal - goal.mean()) / (goal.var(unbiased=False) + 1e-5).sqrt()
                away = (prediction[row, t] - goal).abs()
                terms.append(torch.where(away < 1, away**2 / 2, away - 0.5).mean())
        total += weight * sum(terms) / len(terms)
    assert float(jepa_loss(predictions, target, torch.tensor(lengths))) == pytest.approx(float(total / sum(STEP_WEIGHTS)), rel=1e-5)


def test_jepa_loss_ignores_what_lies_beyond_a_document():
    torch.manual_seed(0)
    predictions, target, lengths = [torch.randn(2, 9, 8) for _ in range(3)], torch.randn(2, 9, 8), torch.tensor([9, 4])
    before = jepa_loss(predictions, target, lengths)
    target[1, 4:] = 1e3
    assert jepa_loss(predictions, target, lengths) == before
    assert float(jepa_loss(predictions, target, torch.tensor([1, 1]))) == 0.0


def test_collapse_figures_tell_collapse_from_spread():
    torch.manual_seed(0)
    lengths, spread = torch.tensor([200]), torch.randn(1, 200, 16)
    flat = torch.randn(1, 1, 16) + 1e-3 * torch.randn(1, 200, 1) * torch.randn(1, 1, 16)
    assert collapse_figures(spread, spread, lengths)["effective_rank"] > 12
    assert collapse_figures(flat, flat, lengths)["effective_rank"] < 3 and collapse_figures(flat, flat, lengths)["std"] < 0.01
    normed = F.layer_norm(spread, (16,))
    perfect = collapse_figures(torch.cat((normed[:, 1:], normed[:, :1]), 1), spread, lengths)
    assert perfect["r2_copy"] == pytest.approx(1) and perfect["r2_mean"] == pytest.approx(1)
    assert collapse_figures(normed, spread, lengths)["r2_copy"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("shape", [(2, 16, 16), (1, 16, 48), (3, 48, 16)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape), 5))
    assert values.min() > 0.5 and values.max() < 1.3


def test_optimizer_steps_as_torchs_adamw_and_as_plain_muon():
    torch.manual_seed(0)
    start, table = torch.randn(6, 4), torch.randn(9, 4)
    matrix, embedding, twin = (torch.nn.Parameter(x.clone()) for x in (start, table, table))
    optimizer = MuonAdamW([("a.wq", matrix), ("embed.weight", embedding)], OptimizerSettings(matrix_decay=0.1))
    reference = torch.optim.AdamW([twin], lr=3e-3 * 0.5, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)
    expected, momentum = start.clone(), torch.zeros(6, 4)
    for _ in range(3):
        gradient = torch.randn(9, 4)
        matrix.grad, embedding.grad, twin.grad = gradient[:6].clone(), gradient.clone(), gradient.clone()
        optimizer.step(0.5)
        reference.step()
        momentum = 0.95 * momentum + 0.05 * gradient[:6]
        update = orthogonalise((0.05 * gradient[:6] + 0.95 * momentum)[None], 5)[0]
        expected = expected * (1 - 0.01 * 0.1) - 0.01 * 1.5**0.5 * update
    torch.testing.assert_close(embedding, twin)
    torch.testing.assert_close(matrix.detach(), expected, rtol=1e-4, atol=1e-5)


def test_every_parameter_of_the_model_learns_from_a_picture_step(folder):
    """All gates open, so that a wrong cut in the graph would show as a missing gradient. Nothing reads the vision stream after the
    last fusion block, so its attention there cannot learn."""
    trainer = Trainer(TINY, Settings(steps=4, **FAST), Documents(folder, 128))
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
    trainer.train_step([numpy.array([0, 1])], figures=False)
    same = [name for name, parameter in trainer.model.named_parameters() if torch.equal(parameter, before[name])]
    assert same == [f"fusion.layers.1.vision_w{matrix}" for matrix in "qkvo"]


def test_rates_warm_up_stay_and_decay():
    settings = Settings(steps=100, warmup_steps=10, decay_share=0.4, final_rate=0.1)
    assert rate_scale(settings, 0, 0.0) == pytest.approx(0.1)
    assert [rate_scale(settings, step, progress) for step, progress in ((9, 0.1), (59, 0.6))] == [1.0, 1.0]
    assert rate_scale(settings, 80, 0.8) == pytest.approx(0.55)
    assert rate_scale(settings, 100, 1.0) == pytest.approx(0.1)


def test_rates_follow_the_minutes_of_training(folder):
    trainer = Trainer(TINY, Settings(minutes=10, **FAST), Documents(folder, 128))
    trainer.elapsed_seconds = 450.0
    assert trainer.progress == 0.75


def test_a_plan_uses_every_document_once_in_an_order_of_its_own(folder):
    documents = Documents(folder, 128)
    plans = [documents.plan(0, epoch, 256) for epoch in (0, 0, 1)]
    flat = [numpy.concatenate(plan).tolist() for plan in plans]
    assert sorted(flat[0]) == list(range(80)) and flat[0] == flat[1] and flat[0] != flat[2]
    for members in plans[0]:
        lengths = (documents.end - documents.start)[members]
        assert len(members) == 1 or len(members) * (-(-lengths.max() // 32) * 32) <= 256
        assert documents.has_pictures(members) == bool((documents.tile_of[members] >= 0).all())


def test_a_batch_scores_exactly_the_marked_tokens(folder):
    documents = Documents(folder, 128)
    batch = documents.batch(numpy.array([10, 11, 2]))
    seen = []
    for row, member in enumerate((10, 11, 2)):
        start, scored, end = (int(x[member]) for x in (documents.start, documents.scored, documents.end))
        assert batch.ids_BT[row, : end - start].tolist() == documents.tokens[start:end].tolist()
        assert not batch.ids_BT[row, end - start :].any()
        for place in range(scored - start, end - start):
            seen.append((row * batch.ids_BT.shape[1] + place - 1, int(documents.tokens[start + place]), row))
    assert list(zip(batch.place_P.tolist(), batch.target_P.tolist(), batch.document_P.tolist(), strict=True)) == seen
    assert len(seen) == documents.scored_tokens(numpy.array([10, 11, 2]))
    assert [(image.row, image.position) for image in batch.images] == [(2, int(documents.scored[2] - documents.start[2]) - 1)]
    assert torch.equal(batch.images[0].tiles[0], torch.from_numpy(numpy.array(documents.tiles[2])))


def test_long_documents_are_cut_only_where_all_is_scored(tmp_path):
    numpy.save(tmp_path / "tokens.npy", numpy.arange(60, dtype=numpy.uint16))
    numpy.save(tmp_path / "docs.npy", numpy.array([[0, 1, 20], [20, 30, 40], [40, 45, 50]]))
    numpy.save(tmp_path / "kinds.npy", numpy.zeros(3, dtype=numpy.uint8))
    (tmp_path / "index.json").write_text("{}")
    documents = Documents(tmp_path, 12)
    assert documents.usable.tolist() == [0, 2] and documents.left_out == 1 and documents.end[0] == 12
    assert documents.batch(numpy.array([0])).target_P.tolist() == list(range(1, 12))


@pytest.mark.parametrize("damage", ["tokens.npy missing", "docs.npy empty", "docs.npy out of range", "tokens.npy no array"])
def test_damaged_data_is_one_line(tmp_path, folder, damage, capsys):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    if damage == "tokens.npy missing":
        (tmp_path / "tokens.npy").unlink()
    elif damage == "tokens.npy no array":
        (tmp_path / "tokens.npy").write_bytes(b"hello")
    else:
        numpy.save(tmp_path / "docs.npy", numpy.array([[0, 1, 10**9]])[: "empty" not in damage])
    with pytest.raises(DataError):
        Documents(tmp_path, 128)
    (tmp_path / "tiny.json").write_text(json.dumps(VALUES))
    arguments = ["--config", str(tmp_path / "tiny.json"), "--data", str(tmp_path), "--out", str(tmp_path / "run"), "--steps", "1"]
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 1 and not (tmp_path / "run").exists()


def steps_of(trainer: Trainer, count: int) -> None:
    plans = trainer.plans()
    for _ in range(count):
        plan, cursor = next(plans)
        trainer.train_step(plan, figures=False)
        trainer.cursor = cursor


def test_half_and_resume_equals_the_whole_to_the_last_bit(folder, tmp_path):
    """14 steps cross an epoch's end and pass its picture batches."""
    settings = Settings(steps=14, **{**FAST, "batch_tokens": 512})
    whole, half, rest = (Trainer(TINY, settings, Documents(folder, 128)) for _ in range(3))
    steps_of(whole, 14)
    steps_of(half, 7)
    rest.restore(checkpoints.load(half.save(tmp_path)))
    steps_of(rest, 7)
    assert (rest.step, rest.tokens, rest.cursor) == (whole.step, whole.tokens, whole.cursor) and whole.cursor.epoch > 0
    for one, other in ((whole.model.state_dict(), rest.model.state_dict()), (whole.average.state_dict(), rest.average.state_dict()),
                       (whole.optimizer.state(), rest.optimizer.state())):  # fmt: skip
        assert one.keys() == other.keys()
        assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_other_data_starts_at_the_next_epoch(folder, tmp_path):
    first = Trainer(TINY, Settings(steps=9, **FAST), Documents(folder, 128))
    steps_of(first, 3)
    saved = checkpoints.load(first.save(tmp_path))
    documents = Documents(folder, 128)
    documents.index = {**documents.index, "seed": 2}
    second = Trainer(TINY, Settings(steps=9, **FAST), documents)
    second.restore(saved)
    assert second.cursor == (1, 0) and second.step == 3


def test_another_configuration_is_refused(folder, tmp_path):
    first = Trainer(TINY, Settings(steps=9, **FAST), Documents(folder, 128))
    saved = checkpoints.load(first.save(tmp_path))
    other = configs.from_dict({**VALUES, "rope_base": 500.0})
    with pytest.raises(TrainingStopped, match="configuration"):
        Trainer(other, Settings(steps=9, **FAST), Documents(folder, 128)).restore(saved)


def test_a_loss_that_is_not_finite_stops_with_its_step(folder):
    trainer = Trainer(TINY, Settings(steps=9, **FAST), Documents(folder, 128))
    with torch.no_grad():
        trainer.model.ar.norm[0] = float("nan")
    with pytest.raises(TrainingStopped, match="step 0: .*not finite"):
        steps_of(trainer, 1)


def test_checkpoints_are_whole_or_absent_and_two_are_kept(folder, tmp_path):
    trainer = Trainer(TINY, Settings(steps=9, **FAST), Documents(folder, 128))
    for trainer.step in (1, 2, 3):
        trainer.save(tmp_path)
    (tmp_path / ".draft-00000004").mkdir()
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-00000002", "checkpoint-00000003"]
    assert checkpoints.latest(tmp_path).name == "checkpoint-00000003"
    assert checkpoints.load(tmp_path / "checkpoint-00000003").model.keys() == Model(TINY).state_dict().keys()


def command(folder: Path, out: Path, *more: str, processes: int = 1) -> subprocess.CompletedProcess:
    config = out.parent / "tiny.json"
    config.write_text(json.dumps(VALUES))
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
    sizes = [part for name, value in FAST.items() for part in ("--" + name.replace("_", "-"), str(value))]
    arguments = ["--config", str(config), "--data", str(folder), "--out", str(out), "--threads", "1", *sizes, *more]
    return subprocess.run(
        [sys.executable, *launch, "-m", "training.train", *arguments],
        capture_output=True, text=True, timeout=240, env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), *sys.path))},
    )  # fmt: skip


def test_the_command_trains_resumes_and_leaves_weights(folder, tmp_path):
    out = tmp_path / "run"
    done = command(folder, out, "--steps", "3")
    assert done.returncode == 0, done.stderr
    again = command(folder, out, "--steps", "6")
    assert again.returncode == 2 and "--resume" in again.stderr
    assert command(folder, out, "--steps", "6", "--resume").returncode == 0
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 3, 5, 6] and set(lines[0]["kinds"]) <= {"even", "odd"}
    assert lines[1]["figures"]["effective_rank"] > 1
    assert configs.load(out / "final.json") == TINY
    described = json.loads((out / "run.json").read_text())
    assert described["parameters"] == sum(parameter.numel() for parameter in Model(TINY).parameters())


def test_two_processes_train_as_one_with_both_micro_batches(folder, tmp_path):
    """Same documents a step, so the same weights up to rounding."""
    assert command(folder, tmp_path / "two", "--steps", "4", "--jepa-rows", "1", processes=2).returncode == 0
    assert command(folder, tmp_path / "one", "--steps", "4", "--jepa-rows", "1", "--accumulate", "2").returncode == 0
    one, two = (checkpoints.load_file(tmp_path / name / "final.safetensors") for name in ("one", "two"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=2e-4, msg=lambda text, name=name: f"{name}: {text}")


def test_a_run_without_an_end_is_refused(folder, tmp_path):
    done = command(folder, tmp_path / "run")
    assert done.returncode == 2 and done.stderr.startswith("error: neither --minutes nor --steps")


def test_copying_is_learned(folder):
    """The marked half repeats the first: well below the entropy of its 41 equally likely tokens after 150 small steps."""
    trainer = Trainer(TINY, Settings(steps=150, other_rate=0.02, **FAST), Documents(folder, 128))
    plans, losses = trainer.plans(), []
    for _ in range(150):
        plan, trainer.cursor = next(plans)
        kinds = trainer.train_step(plan, figures=False)["kinds"].values()
        losses.append(sum(total for total, _ in kinds) / sum(count for _, count in kinds))
    assert numpy.mean(losses[-10:]) < 0.7 * numpy.log(41)
