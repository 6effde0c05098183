"""Objectives, recipes and mixtures of the trainer: what is hidden, what learns, which data when (docs/training.md)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
numpy = pytest.importorskip("numpy")

import torch.nn.functional as F  # noqa: E402, N812

from tests.training_runs import TINY, make_folder, steps_of, trainer_of  # noqa: E402
from training import masks  # noqa: E402
from training.batches import IMAGE_TOKEN, DataError  # noqa: E402
from training.losses import pair_loss, vision_loss  # noqa: E402
from training.mixture import Drawn, open_mixture  # noqa: E402
from training.model.model import Image  # noqa: E402
from training.objectives import batch_loss, hide_pictures  # noqa: E402
from training.recipes import RECIPES, documents, hybrid  # noqa: E402
from training.settings import Objective, Recipe, RecipeError, Settings, Stage  # noqa: E402


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    """Texts only, and texts with eight pictures."""
    path = tmp_path_factory.mktemp("data")
    return make_folder(path / "texts", 5, 60, 0), make_folder(path / "pictures", 6, 16, 8, ("picture", "odd"))


@pytest.mark.parametrize("kind", ["spans", "random"])
def test_a_text_mask_hides_its_share_within_the_text(kind):
    lengths = [1, 2, 9, 40, 200]
    hidden = masks.text_mask(kind, lengths, 208, 0.375, numpy.random.default_rng(1))
    assert hidden.sum(1).tolist() == [round(0.375 * (length - 1)) for length in lengths]
    assert not hidden[:, 0].any() and not any(row[length:].any() for row, length in zip(hidden, lengths, strict=True))
    runs = (numpy.diff(hidden[4].astype(int)) == 1).sum()
    assert (runs < 25) == (kind == "spans"), "spans are few and long, single tokens many"


def test_hidden_text_keeps_the_places_of_pictures():
    ids = torch.tensor([[7, IMAGE_TOKEN, 8, 9]])
    seen, hidden = masks.hide_text(ids, torch.tensor([[False, True, True, False]]), IMAGE_TOKEN)
    assert seen.tolist() == [[7, IMAGE_TOKEN, masks.HIDDEN_TOKEN, 9]] and hidden.tolist() == [[False, False, True, False]]


@pytest.mark.parametrize("shuffle", [1, 2, 4, 8])
def test_a_picture_mask_hides_blocks_and_the_vision_tokens_in_them(shuffle):
    cells = 256 // masks.cell_size(shuffle)
    hidden = torch.from_numpy(masks.picture_mask(3, cells, 0.55, numpy.random.default_rng(2)))
    assert hidden.flatten(1).sum(1).tolist() == [round(0.55 * cells**2)] * 3
    tiles = torch.randint(120, 256, (3, 256, 256, 3), dtype=torch.uint8)
    seen = masks.hide_blocks(tiles, hidden)
    tokens = masks.hidden_vision_tokens(hidden, shuffle)
    side = 32 // shuffle
    for tile in range(3):
        grey = (seen[tile] == torch.tensor(masks.GREY, dtype=torch.uint8)).all(-1)
        assert torch.equal(seen[tile][~grey], tiles[tile][~grey])
        by_token = grey.view(side, 256 // side, side, 256 // side).transpose(1, 2).flatten(2).all(-1).flatten()
        assert torch.equal(by_token, tokens[tile])


def test_hidden_vision_tokens_are_counted_as_the_model_joins_them(folders):
    """Two pictures in one row, given in the wrong order, and none in another."""
    small, wide = torch.zeros(1, 256, 256, 3, dtype=torch.uint8), torch.zeros(2, 256, 256, 3, dtype=torch.uint8)
    images = [Image(2, 9, wide, 1, 2), Image(0, 3, wide, 2, 1), Image(2, 4, small, 1, 1)]
    seen, hidden = hide_pictures(images, 3, 4, 0.5, numpy.random.default_rng(3))
    assert [(image.row, image.position) for image in seen] == [(0, 3), (2, 4), (2, 9)] and hidden.shape == (3, 3 * 64)
    assert hidden.sum(1).tolist() == [2 * 32, 0, 3 * 32] and not hidden[0, 128:].any()
    assert torch.equal((seen[2].tiles[1] > 0).all(-1).view(8, 32, 8, 32).transpose(1, 2).flatten(2).all(-1).flatten(), hidden[2, 128:])
    trainer = trainer_of(folders[0])
    images = [image._replace(tiles=image.tiles[:1], rows=1, cols=1) for image in seen]
    vision = trainer.model.encode_both(torch.full((3, 12), 20), images).vision_BNJ
    assert vision.shape[:2] == (3, 2 * 16), "rows are as long as the longest"


def test_vision_and_pair_losses_equal_plain_ones():
    torch.manual_seed(0)
    guess, target, hidden = torch.randn(2, 5, 8), torch.randn(2, 5, 8), torch.tensor([[1, 0, 1, 0, 0], [0, 0, 0, 0, 1]], dtype=torch.bool)
    rows = [F.smooth_l1_loss(guess[m, n], F.layer_norm(target[m, n], (8,))) for m, n in ((0, 0), (0, 2), (1, 4))]
    assert float(vision_loss(guess, target, hidden)) == pytest.approx(float(sum(rows) / 3))
    assert float(vision_loss(guess, target, torch.zeros_like(hidden))) == 0.0
    assert float(pair_loss(target[0], 3 * target[0])) == pytest.approx(0, abs=1e-6)
    assert float(pair_loss(target[0], -target[0])) == pytest.approx(2)
    assert float(pair_loss(target[0][:0], target[0][:0])) == 0.0


def loss_of(trainer, members: list[int], objective: Objective, source: int = 0, pairs: bool = False):
    batch = trainer.mixture.batch(Drawn(source, numpy.array(members)))
    return batch_loss(trainer.model, trainer.average, trainer.heads, batch, objective, 1, 1.0, numpy.random.default_rng(0), pairs, True)


def test_only_what_has_a_weight_is_computed(folders):
    trainer = trainer_of(f"a={folders[0]}@1", f"b={folders[1]}@1")
    token = loss_of(trainer, [0, 1], Objective(1.0, 0.0))[1]
    assert token.token_P is not None and float(token.jepa) == 0.0 and not token.figures
    jepa = loss_of(trainer, [0, 1], Objective(0.0, 1.0))[1]
    assert jepa.token_P is None and float(jepa.jepa) > 0 and float(jepa.vision) == 0.0 and jepa.figures["effective_rank"] > 1
    total, both = loss_of(trainer, [0, 1], Objective(0.7, 0.3, jepa_rows=1.0, mask="spans"), source=1)
    assert float(both.vision) > 0 and float(both.jepa) > 0
    assert float(total.detach()) == pytest.approx(0.7 * float(both.token_P.sum()) + 0.3 * float(both.jepa + both.vision), rel=1e-5)
    pair = loss_of(trainer, [0, 1], Objective(0.0, 0.0, pair_weight=2.0, jepa_rows=1.0), pairs=True)
    assert float(pair[0].detach()) == pytest.approx(2 * float(pair[1].pair)) and float(pair[1].pair) > 0


def test_targets_come_from_the_averaged_model_without_masks_or_gradients(folders):
    """The loss of a masked batch is that of predictions from hidden text against the average's embeddings of the whole text."""
    trainer = trainer_of(folders[0])
    objective = Objective(0.0, 1.0, jepa_rows=1.0, mask="spans")
    with torch.no_grad():
        trainer.average.embed.weight.mul_(1.3)
    loss_of(trainer, [0, 1, 2], objective)[0].backward()
    assert all(parameter.grad is None for parameter in trainer.average.parameters())
    assert trainer.model.embed.weight.grad[masks.HIDDEN_TOKEN].abs().sum() > 0, "hidden places are fed as HIDDEN_TOKEN"
    assert trainer.model.ar.in_proj.grad is None, "the AR head has no part in it"


def test_trunk_gradient_scales_what_reaches_the_encoders(folders):
    found = []
    for share in (1.0, 0.25, 0.0):
        trainer = trainer_of(folders[1])
        loss_of(trainer, [0, 9], Objective(0.0, 1.0, trunk_gradient=share, jepa_rows=1.0, mask="random"))[0].backward()
        model = trainer.model
        found.append((model.language.layers[0].wv.grad, model.jepa.layers[0].wv.grad, model.vision.stem.weight.grad))
    for whole, quarter, none in zip(*found, strict=True):
        if whole is found[0][1]:
            assert torch.equal(whole, quarter) and torch.equal(whole, none)
        else:
            torch.testing.assert_close(0.25 * whole, quarter, rtol=1e-4, atol=1e-9)
            assert not none.any()


def test_pairs_are_in_their_share_of_the_steps_and_learn(folders):
    some, every = ([float(trainer.train_step().pair) for _ in range(trainer.settings.steps)] for trainer in (
        trainer_of(folders[0], steps=24, pair_weight=1.0, pair_share=0.5, jepa_weight=0.0),
        trainer_of(folders[0], steps=80, pair_weight=1.0, pair_share=1.0, jepa_weight=0.0, trunk_gradient=1.0, jepa_rows=1.0),
    ))  # fmt: skip
    assert 4 < sum(loss > 0 for loss in some) < 20 and min(every) > 0
    assert numpy.mean(every[-10:]) < 0.8 * numpy.mean(every[:10])


@pytest.mark.parametrize("objective", [Objective(0.0, 1.0, trunk_gradient=1.0, jepa_rows=1.0, mask="spans"),
                                       Objective(0.0, 1.0, trunk_gradient=1.0, jepa_rows=1.0)])  # fmt: skip
def test_a_pure_jepa_stage_lowers_its_loss(folders, objective):
    recipe = Recipe("jepa", Settings(), (Stage("jepa", 1.0, objective),))
    trainer = trainer_of(folders[0], recipe=recipe, steps=40, matrix_rate=0.01)
    losses = [float(trainer.train_step().jepa) for _ in range(40)]
    assert numpy.mean(losses[-5:]) < 0.9 * numpy.mean(losses[:5])


def test_shares_hold_over_any_stretch(folders):
    mixture, weights = open_mixture([f"a={folders[0]}@3", f"b={folders[1]}@1"], 128, 0, 256)
    position, seen = mixture.start(), []
    for _ in range(40):
        drawn, position = mixture.draw(position, 5, weights)
        seen += [one.source for one in drawn]
    for first in range(0, 190, 7):
        assert abs(sum(seen[first : first + 12]) - 3) <= 1
    assert min(position.epochs) > 0 and mixture.kinds == ["even", "odd", "picture"]
    batch = mixture.batch(Drawn(1, numpy.array([0, 1])))
    assert [mixture.kinds[kind] for kind in batch.kind_B] == ["picture", "odd"]


def test_a_folder_of_folders_is_one_kind_of_data(tmp_path):
    make_folder(tmp_path / "part-0", 1, 40, 0)
    make_folder(tmp_path / "part-1", 2, 20, 0)
    mixture, weights = open_mixture([f"plain={tmp_path}"], 128, 0, 256)
    assert [source.name for source in mixture.sources] == ["plain", "plain"] and list(weights) == ["plain"]
    assert sum(source.part for source in mixture.sources) == pytest.approx(1) and 0.5 < mixture.sources[0].part < 0.8


@pytest.mark.parametrize("given, told", [(["a=DIR@x"], "no number"), (["a=DIR@1", "b=DIR"], "to all data or to none"),
                                         (["a=DIR@0"], "positive"), (["nowhere"], "nowhere")])  # fmt: skip
def test_data_that_cannot_be_mixed_is_refused(folders, given, told):
    with pytest.raises(DataError, match=told):
        open_mixture([text.replace("DIR", str(folders[0])) for text in given], 128, 0, 256)


def test_every_recipe_holds_together():
    for name, recipe in RECIPES.items():
        made = recipe()
        made.check()
        assert made.name == name
        names = {kind for stage in made.stages for kind in stage.data}
        if names:
            made.fit(names)
            for progress in (0.0, 0.3, 0.999, 1.0):
                assert sum(made.weights(progress).values()) == pytest.approx(1, abs=0.01)


def test_the_documents_stages_have_their_shares_rates_and_weights():
    recipe = documents()
    assert [recipe.at(progress)[0].name for progress in (0, 0.39, 0.41, 0.69, 0.71, 0.89, 0.91, 1.0)] == [
        "jepa", "jepa", "language", "language", "joint", "joint", "instruction", "instruction"]  # fmt: skip
    rates = [3e-4 * recipe.rate(10**6, progress) for progress in (0, 0.4 - 1e-9, 0.7 - 1e-9, 0.9 - 1e-9, 1.0)]
    assert rates == pytest.approx([3e-4, 3e-5, 1e-5, 5e-6, 1e-6], rel=1e-3)
    assert 3e-4 * recipe.rate(10**6, 0.2) == pytest.approx((3e-4 + 3e-5) / 2), "half a cosine is half way in the middle"
    weights = [(stage.objective.jepa_weight, stage.objective.token_weight) for stage in recipe.stages]
    assert weights == [(1.0, 0.0), (0.0, 1.0), (0.3, 0.7), (0.0, 1.0)]


def test_a_run_goes_through_its_stages(folders):
    """Pure JEPA, then language, then both with pictures, then pairs: what a stage does not ask for stays 0."""
    data = {"jepa": {"a": 1.0}, "language": {"a": 1.0}, "joint": {"a": 0.5, "b": 0.5}, "instruction": {"a": 1.0}}
    stages = tuple(dataclasses.replace(stage, data=data[stage.name]) for stage in documents().stages)
    recipe = dataclasses.replace(documents(), stages=stages)
    trainer = trainer_of(f"a={folders[0]}", f"b={folders[1]}", recipe=recipe, steps=20, batch_tokens=512, accumulate=2, other_rate=1e-3)
    seen = {}
    for _ in range(20):
        name = trainer.stage.name
        step = trainer.train_step()
        counts = seen.setdefault(name, numpy.zeros(4))
        counts += [float(step.scored_K.sum()), float(step.jepa), float(step.vision), float(step.pair)]
    assert {name: (values > 0).tolist()[:3] for name, values in seen.items()} == {
        "jepa": [False, True, False], "language": [True, False, False], "joint": [True, True, True], "instruction": [True, False, False]}
    assert [name for name, values in seen.items() if values[3] > 0] in ([], ["instruction"])


@pytest.mark.parametrize("changes, told", [({"optimizer": "sgd"}, "muon, adamw"), ({"mask": "half"}, "none, spans, random"),
                                           ({"mask_share": 1.0}, "between 0 and 1"), ({"accumulate": 0}, "positive"),
                                           ({"token_weight": 0.0, "jepa_weight": 0.0}, "every weight is 0")])  # fmt: skip
def test_settings_out_of_range_are_refused(changes, told):
    with pytest.raises(RecipeError, match=told):
        hybrid().changed(**changes).check()


def test_an_objective_of_many_stages_cannot_be_changed_by_an_option():
    with pytest.raises(RecipeError, match="jepa_weight: recipe documents has 4 stages"):
        documents().changed(jepa_weight=0.1)
    assert documents().changed(batch_tokens=64).settings.batch_tokens == 64


def test_data_that_a_recipe_does_not_know_is_refused(folders):
    with pytest.raises(RecipeError, match="no weight for data called code"):
        RECIPES["nano"]().fit(["code"])
    with pytest.raises(RecipeError, match="stage language .* needs data called"):
        documents().fit(["pictures"])


def test_adamw_alone_trains(folders):
    trainer = trainer_of(folders[0], optimizer="adamw", other_rate=3e-3, steps=60)
    assert not trainer.optimizer.momentum and len(trainer.optimizer.adamw.param_groups) == 2
    losses = steps_of(trainer, 60)
    assert numpy.mean(losses[-5:]) < numpy.mean(losses[:5]) - 0.2


@pytest.mark.parametrize("changes", [{"recompute": True}, {"precision": "bf16"}])
def test_other_ways_to_compute_give_the_same_losses(folders, changes):
    """Recomputed activations to the last bit; bf16 products to their two digits."""
    plain, other = (steps_of(trainer_of(folders[1], steps=8, warmup_steps=1, **more), 4) for more in ({}, changes))
    assert other == (plain if "recompute" in changes else pytest.approx(plain, rel=0.02))


def test_heldout_loss_repeats_and_leaves_the_model_alone(folders):
    trainer = trainer_of(folders[0])
    heldout = open_mixture([str(folders[1])], 128, 0, 256)[0]
    before = trainer.model.embed.weight.clone()
    one, two = (trainer.heldout_loss(heldout, 5) for _ in range(2))
    assert one == two and {"", "odd"} <= set(one) and torch.equal(before, trainer.model.embed.weight)
    assert one[""] == pytest.approx(numpy.log(TINY.vocab_size), rel=0.5)
