"""The C engine against torch, layer by layer, on random models: text, pictures, 200 greedy tokens. Float packs to a few units in the last
place; quantised ones, whose activations and states are int8 too, against torch with
the same int8 arithmetic."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")

import numpy as np  # noqa: E402
import torch  # noqa: E402

from cromwell import binding  # noqa: E402
from cromwell.contract.prompt import SPECIAL_TOKENS  # noqa: E402
from tests.engine_models import IMAGE, SMALL, TIED, WHOLE, Trace, exchange, random_model, text, tiles, write_pack  # noqa: E402
from tests.quantised_twin import quantised_arithmetic  # noqa: E402
from training.model.model import Cache, Image  # noqa: E402

EPS = float(np.finfo(np.float32).eps)
CASES = {"small": (SMALL, "f32"), "tied": (TIED, "f32"), "q8": (WHOLE, "q8"), "q4": (WHOLE, "q4")}
MODELS = Path(__file__).resolve().parent.parent / "models"


def compare(name: str, got: np.ndarray, want: torch.Tensor, slack: float) -> None:
    """|got - want| <= slack * eps * (norm of the row + its largest value); the worst place is printed."""
    reference = want.detach().double().numpy().reshape(-1, want.shape[-1])
    assert got.shape == reference.shape, f"{name}: {got.shape}, torch {reference.shape}"
    assert np.isfinite(got).all(), name
    error = np.abs(got.astype(np.float64) - reference)
    bound = slack * EPS * (np.linalg.norm(reference, axis=1, keepdims=True) + 1e-3)
    row, col = np.unravel_index(np.argmax(error / bound), error.shape)
    worst = error[row, col] / bound[row, 0]
    assert worst <= 1, f"{name}: worst at [{row}, {col}]: {got[row, col]:.9g}, torch {reference[row, col]:.9g}, {worst:.1f} x the bound"


def compare_quantised(name: str, got: np.ndarray, want: torch.Tensor, most: float = 0.2, middle: float = 0.15) -> None:
    """The error of a row against the row: `most` for any, `middle` for half of them. Over many layers it is that of int8: a last bit of a
    float decides how a number is rounded, and from then on the two are as far apart as either is from exact arithmetic."""
    reference = want.detach().double().numpy().reshape(-1, want.shape[-1])
    assert got.shape == reference.shape, f"{name}: {got.shape}, torch {reference.shape}"
    error = np.linalg.norm(got - reference, axis=1) / (np.linalg.norm(reference, axis=1) + 1e-3)
    distance = f"{name}: rows off by {error.max():.3f} at most, {np.median(error):.3f} in the median"
    assert error.max() <= most and np.median(error) <= middle, distance


def arithmetic(quant: str) -> contextlib.AbstractContextManager[None]:
    """What torch computes with to be compared with a pack of this format."""
    return contextlib.nullcontext() if quant == "f32" else quantised_arithmetic()


def compare_all(trace: Trace, golden: dict[str, torch.Tensor], quant: str, slack: float) -> None:
    """Every intermediate result that torch names must be there and agree; logits are those of the last token."""
    missing = set(golden) - set(trace.parts)
    assert not missing, f"not traced: {sorted(missing)}"
    for name, want in golden.items():
        expected = want.reshape(-1, want.shape[-1])[-1:] if name == "logits" else want
        if quant == "f32":
            compare(name, trace[name], expected, slack)
        else:
            compare_quantised(name, trace[name], expected)


@pytest.mark.parametrize("case", CASES)
def test_text_layer_by_layer(case: str, tmp_path) -> None:
    config, quant = CASES[case]
    model = random_model(config)
    ids = text(config, 300)
    ids[40::70] = [SPECIAL_TOKENS.index("<EDIT>")] * len(ids[40::70])
    ids[3::9] = [len(SPECIAL_TOKENS) + ord("\n")] * len(ids[3::9])  # lines and columns
    ids = ids[:150] + exchange(config) + ids[150:200] + exchange(config, seed=1)
    with binding.Model(write_pack(model, config, quant, tmp_path / "model.cwm")) as pack, binding.Session(pack, 512) as session:
        trace = Trace(session)
        session.feed(ids)
        session.logits()
    golden: dict[str, torch.Tensor] = {}
    with torch.no_grad(), arithmetic(quant):
        model(torch.tensor([ids]), trace=golden)
    compare_all(trace, golden, quant, slack=30)


@pytest.mark.parametrize("case", CASES)
def test_pictures_layer_by_layer(case: str, tmp_path) -> None:
    """Two pictures, the second of two tiles, with text before, between and after."""
    config, quant = CASES[case]
    model = random_model(config)
    ids = text(config, 60)
    ids[7] = ids[30] = IMAGE
    images = [Image(0, 7, tiles(1, 1), 1, 1), Image(0, 30, tiles(2, 2), 2, 1)]
    with binding.Model(write_pack(model, config, quant, tmp_path / "model.cwm")) as pack, binding.Session(pack, 64, max_tiles=3) as session:
        trace = Trace(session)
        at = 0
        for image in images:
            session.feed(ids[at : image.position])
            session.feed_image(image.tiles.numpy().tobytes(), image.rows, image.cols)
            at = image.position
        session.feed(ids[at:])
        session.logits()
    golden: dict[str, torch.Tensor] = {}
    with torch.no_grad(), arithmetic(quant):
        model(torch.tensor([ids]), images, trace=golden)
    compare_all(trace, golden, quant, slack=100)


@pytest.mark.parametrize("quant", ["q8", "q4"])
def test_each_layer_alone(quant: str, tmp_path) -> None:
    """Layers of a quantised pack on the engine's own inputs: half of the rows agree to float rounding, as nothing was rounded otherwise."""
    model = random_model(WHOLE)
    ids = text(WHOLE, 200)
    with binding.Model(write_pack(model, WHOLE, quant, tmp_path / "model.cwm")) as pack, binding.Session(pack, 256, max_tiles=1) as session:
        trace = Trace(session)
        session.feed(ids)
        session.feed_image(tiles(1, 1).numpy().tobytes(), 1, 1)

    def check(name: str, before: str, layer: Callable[[torch.Tensor], torch.Tensor], *shape: int) -> None:
        with torch.no_grad(), quantised_arithmetic():
            want = layer(torch.from_numpy(trace[before]).view(1, *shape, trace[before].shape[-1]))
        compare_quantised(name, trace[name], want, most=0.05, middle=1e-4)

    for part, first, stack in (("language", "embed", model.language), ("jepa", "fusion.norm", model.jepa), ("ar", "ar.in_proj", model.ar)):
        names = [first] + [f"{part}.layers.{i}" for i in range(len(stack.layers))]
        rope = model._rope(part, 0, torch.tensor([ids]))
        for layer, before, name in zip(stack.layers, names, names[1:], strict=False):
            check(name, before, functools.partial(layer, rope=rope), 200)
    for k, predictor in enumerate(model.jepa.predict):
        check(f"jepa.predict.{k}", "jepa.norm", predictor, 200)
    for blocks, part, first, sides in ((model.vision.cnn, "vision.cnn", "vision.stem", (64, 64, 32, 32)),
                                       (model.vision.layers, "vision.layers", "vision.proj", (32, 32))):  # fmt: skip
        names = [first] + [f"{part}.{i}" for i in range(len(blocks))]
        for block, before, name, side in zip(blocks, names, names[1:], sides, strict=False):
            check(name, before, block, side, side)


def test_greedy_tokens(tmp_path) -> None:
    """200 tokens, each the best of the logits, are those of torch."""
    model = random_model(SMALL, spread=0.2)
    prompt = exchange(SMALL, seed=9, answer=0)
    with binding.Model(write_pack(model, SMALL, "f32", tmp_path / "model.cwm")) as pack, binding.Session(pack, 256) as session:
        session.feed(prompt)
        found = []
        for _ in range(200):
            found.append(int(np.argmax(np.array(session.logits()))))
            session.feed(found[-1:])
    wanted: list[int] = []
    with torch.no_grad():
        cache, fed = Cache(model.config), prompt
        for _ in range(200):
            outputs = model(torch.tensor([fed]), cache=cache)
            fed = [int(model.logits(outputs.hidden_BTA, outputs.chosen)[0, -1].argmax())]
            wanted += fed
    assert len(set(wanted)) > 20, "a loop would prove little"
    assert found == wanted


@pytest.mark.parametrize("name, tokens", [("nano", 40), ("base", 6)])
def test_shipped_shapes(name: str, tokens: int, tmp_path) -> None:
    """The shipped configurations with random int8 weights, base with fewer layers and tokens: joint embeddings and logits."""
    config = json.loads((MODELS / f"{name}.json").read_text())
    if name == "base":
        config["vocab_size"] = 4000
        for part in ("vision", "language", "fusion", "jepa", "ar"):
            config[part]["layers"] = 2
        config["vision"]["global_layers"] = [1]
    model = random_model(config)
    ids = (text(config, tokens) + exchange(config))[-tokens:]
    with binding.Model(write_pack(model, config, "q8", tmp_path / "model.cwm")) as pack, binding.Session(pack, tokens) as session:
        session.feed(ids)
        joint = np.frombuffer(session.joint(0, tokens), np.float32).reshape(tokens, -1)
        logits = np.array(session.logits(), np.float32)[None]
        assert pack.info.parameter_count == sum(tensor.numel() for tensor in model.state_dict().values())
    with torch.no_grad(), quantised_arithmetic():
        outputs = model(torch.tensor([ids]))
        compare_quantised("joint", joint, outputs.joint_BTJ)
        compare_quantised("logits", logits, model.logits(outputs.hidden_BTA, outputs.chosen)[0, -1:])
