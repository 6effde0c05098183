"""The trainer: losses against plain ones, optimizer, batches, resuming, processes, refusals (docs/training.md)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
numpy = pytest.importorskip("numpy")

import torch.nn.functional as F  # noqa: E402, N812

from tests.training_runs import TINY, VALUES, arguments_of, command, make_folder, same_state, steps_of, trainer_of  # noqa: E402
from training import checkpoint as checkpoints  # noqa: E402
from training import config as configs  # noqa: E402
from training.batches import DataError, Documents  # noqa: E402
from training.losses import CHUNK, STEP_WEIGHTS, collapse_figures, jepa_loss, token_loss  # noqa: E402
from training.mixture import Drawn  # noqa: E402
from training.model.model import Model  # noqa: E402
from training.optimizer import MuonAdamW, OptimizerSettings, orthogonalise  # noqa: E402
from training.recipes import hybrid  # noqa: E402
from training.train import main  # noqa: E402
from training.trainer import TrainingStopped  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_folder(tmp_path_factory.mktemp("data"), 3)


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


def test_hidden_states_of_some_positions_are_those_of_all(folder):
    """And so are the gradients of what is made of them."""
    trainer = trainer_of(folder)
    batch = trainer.mixture.batch(Drawn(0, numpy.array([0, 1, 2])))
    found = []
    for wanted in (None, batch.place_P):
        with torch.no_grad():
            trainer.model.ar.layers[0].w_down.fill_(0.1)
        trainer.optimizer.zero_grad()
        hidden = trainer.model(batch.ids_BT, batch.images, wanted_P=wanted).hidden_BTA
        hidden = hidden.flatten(0, 1)[batch.place_P] if wanted is None else hidden
        hidden.square().sum().backward()
        found.append((hidden.detach(), trainer.model.ar.layers[0].w_gate.grad, trainer.model.embed.weight.grad))
    for every, some in zip(*found, strict=True):
        torch.testing.assert_close(some, every, rtol=1e-4, atol=1e-5)


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
    trainer = trainer_of(folder, steps=4)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
    trainer.mixture.draw = lambda position, count, weights: ([Drawn(0, numpy.array([0, 1]))], position)
    trainer.train_step()
    same = [name for name, parameter in trainer.model.named_parameters() if torch.equal(parameter, before[name])]
    assert same == [f"fusion.layers.1.vision_w{matrix}" for matrix in "qkvo"]


def test_rates_warm_up_stay_and_decay():
    recipe = hybrid().changed(steps=100, warmup_steps=10, decay_share=0.4, final_rate=0.1)
    assert recipe.rate(0, 0.0) == pytest.approx(0.1)
    assert [recipe.rate(step, progress) for step, progress in ((9, 0.1), (59, 0.6))] == [1.0, 1.0]
    assert recipe.rate(80, 0.8) == pytest.approx(0.55)
    assert recipe.rate(100, 1.0) == pytest.approx(0.1)


def test_rates_follow_the_minutes_of_training(folder):
    trainer = trainer_of(folder, steps=None, minutes=10.0)
    trainer.elapsed_seconds = 450.0
    assert trainer.progress == 0.75


def test_a_plan_uses_every_document_once_in_an_order_of_its_own(folder):
    documents = Documents(folder, 128)
    plans = [documents.plan(0, epoch, 256) for epoch in (0, 0, 1)]
    flat = [numpy.concatenate(plan).tolist() for plan in plans]
    assert sorted(flat[0]) == list(range(80)) and flat[0] == flat[1] and flat[0] != flat[2]
    for members in plans[0]:
        lengths = (documents.end - documents.start)[members]
        assert len(members) == 1 or len(members) * (-(-lengths.max() // 8) * 8) <= 256
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


@pytest.mark.parametrize("damage", ["tokens.npy missing", "docs.npy empty", "docs.npy out of range", "tokens.npy no array",
                                    "tokens.npy differs", "another vocabulary", "index no JSON"])  # fmt: skip
def test_damaged_data_is_one_line(tmp_path, folder, damage, capsys):
    data = tmp_path / "data"
    shutil.copytree(folder, data)
    if damage == "tokens.npy missing":
        (data / "tokens.npy").unlink()
    elif damage == "tokens.npy no array":
        (data / "tokens.npy").write_bytes(b"hello")
    elif damage == "tokens.npy differs":
        (data / "index.json").write_text(json.dumps({"kinds": ["even", "odd"], "sha256": {"tokens.npy": "0" * 64}}))
    elif damage == "another vocabulary":
        numpy.save(data / "tokens.npy", numpy.load(data / "tokens.npy") + 1)
    elif damage == "index no JSON":
        (data / "index.json").write_text("{")
    else:
        numpy.save(data / "docs.npy", numpy.array([[0, 1, 10**9]])[: "empty" not in damage])
    with pytest.raises(DataError):
        Documents(data, 128, TINY.vocab_size)
    assert main([*arguments_of(tmp_path / "run", data), "--steps", "1"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {data}") and told.count("\n") == 1 and not (tmp_path / "run").exists()


def test_half_and_resume_equals_the_whole_to_the_last_bit(folder, tmp_path):
    """14 steps cross an epoch's end and pass its picture batches."""
    whole, half, rest = (trainer_of(folder, steps=14, batch_tokens=512) for _ in range(3))
    steps_of(whole, 14)
    steps_of(half, 7)
    rest.restore(checkpoints.load(half.save(tmp_path)))
    steps_of(rest, 7)
    assert (rest.step, rest.tokens, rest.position) == (whole.step, whole.tokens, whole.position) and whole.position.epochs[0] > 0
    assert same_state(whole, rest) == []


def test_other_data_starts_at_the_next_epoch(folder, tmp_path):
    first = trainer_of(folder)
    steps_of(first, 3)
    saved = checkpoints.load(first.save(tmp_path / "run"))
    second = trainer_of(make_folder(tmp_path / "other", 4))
    second.restore(saved)
    assert (second.position.epochs, second.position.used, second.step) == ((1,), (0,), 3)


def test_another_configuration_is_refused(folder, tmp_path):
    first = trainer_of(folder)
    saved = checkpoints.load(first.save(tmp_path))
    with pytest.raises(TrainingStopped, match="configuration"):
        trainer_of(folder, config=configs.from_dict({**VALUES, "rope_base": 500.0})).restore(saved)
    with pytest.raises(TrainingStopped, match="muon"):
        trainer_of(folder, optimizer="adamw").restore(saved)


def test_a_loss_that_is_not_finite_stops_with_its_step(folder):
    trainer = trainer_of(folder)
    with torch.no_grad():
        trainer.model.ar.norm[0] = float("nan")
    with pytest.raises(TrainingStopped, match="step 0: .*not finite"):
        steps_of(trainer, 1)


def test_checkpoints_are_whole_or_absent_and_two_are_kept(folder, tmp_path):
    trainer = trainer_of(folder)
    for trainer.step in (1, 2, 3):
        trainer.save(tmp_path)
    (tmp_path / ".draft-00000004").mkdir()
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-00000002", "checkpoint-00000003"]
    assert checkpoints.latest(tmp_path).name == "checkpoint-00000003"
    assert checkpoints.load(tmp_path / "checkpoint-00000003").model.keys() == Model(TINY).state_dict().keys()


def test_the_command_trains_resumes_and_leaves_weights(folder, tmp_path, capsys):
    out = tmp_path / "run"
    done = command(out, "--steps", "3", data=(folder,))
    assert done.returncode == 0, done.stderr
    again = [*arguments_of(out, folder), "--steps", "6"]
    assert main(again) == 2 and "--resume" in capsys.readouterr().err
    assert main([*again, "--resume"]) == 0
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 3, 5, 6] and set(lines[0]["kinds"]) <= {"even", "odd"}
    assert lines[1]["figures"]["effective_rank"] > 1
    assert configs.load(out / "final.json") == TINY
    described = json.loads((out / "run.json").read_text())
    assert described["parameters"] == sum(parameter.numel() for parameter in Model(TINY).parameters())
    assert described["data"][0]["index"]["seed"] == 3 and described["seed"] == 0 and described["versions"]["torch"] == torch.__version__


def test_a_run_without_an_end_is_refused(folder, tmp_path, capsys):
    assert main(arguments_of(tmp_path / "run", folder)) == 2
    assert capsys.readouterr().err.startswith("error: neither --minutes nor --steps")


def test_copying_is_learned(folder):
    """The marked half repeats the first: well below the entropy of its 41 equally likely tokens after 150 small steps."""
    losses = steps_of(trainer_of(folder, steps=150, other_rate=0.02), 150)
    assert numpy.mean(losses[-10:]) < 0.7 * numpy.log(41)
