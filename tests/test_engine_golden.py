"""The C engine against torch, layer by layer, on random models: text, pictures, float and int8 weights, 200 greedy tokens."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import numpy as np  # noqa: E402
import torch  # noqa: E402

from cromwell import binding  # noqa: E402
from tests.engine_models import IMAGE, SMALL, TIED, Trace, random_model, text, tiles, write_pack  # noqa: E402
from training.model.model import Cache, Image  # noqa: E402

EPS = float(np.finfo(np.float32).eps)
CONFIGS = {"small": SMALL, "tied": TIED}


def compare(name: str, got: np.ndarray, want: torch.Tensor, slack: float) -> None:
    """|got - want| <= slack * eps * (norm of the row + its largest value); the worst place is printed."""
    reference = want.detach().double().numpy().reshape(-1, want.shape[-1])
    assert got.shape == reference.shape, f"{name}: {got.shape}, torch {reference.shape}"
    assert np.isfinite(got).all(), name
    error = np.abs(got.astype(np.float64) - reference)
    bound = slack * EPS * (np.linalg.norm(reference, axis=1, keepdims=True) + 1e-3)
    row, col = np.unravel_index(np.argmax(error / bound), error.shape)
    assert error[row, col] <= bound[row, 0], (
        f"{name}: worst at [{row}, {col}]: {got[row, col]:.9g}, torch {reference[row, col]:.9g}, {error[row, col] / bound[row, 0]:.1f} x the bound"
    )


def compare_all(trace: Trace, golden: dict[str, torch.Tensor], slack: float) -> None:
    """Every intermediate result that torch names must be there and agree; logits are those of the last token."""
    missing = set(golden) - set(trace.parts)
    assert not missing, f"not traced: {sorted(missing)}"
    for name, want in golden.items():
        compare(name, trace[name], want.reshape(-1, want.shape[-1])[-1:] if name == "logits" else want, slack)


@pytest.mark.parametrize("quant", ["f32", "q8"])
@pytest.mark.parametrize("which", CONFIGS)
def test_text_layer_by_layer(which: str, quant: str, tmp_path) -> None:
    config = CONFIGS[which]
    model = random_model(config)
    ids = text(config, 300)
    with binding.Model(write_pack(model, config, quant, tmp_path / "model.cwm")) as pack, binding.Session(pack, 512) as session:
        trace = Trace(session)
        session.feed(ids)
        session.logits()
    golden: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        model(torch.tensor([ids]), trace=golden)
    compare_all(trace, golden, slack=30)


@pytest.mark.parametrize("quant", ["f32", "q8"])
@pytest.mark.parametrize("which", CONFIGS)
def test_pictures_layer_by_layer(which: str, quant: str, tmp_path) -> None:
    """Two pictures, the second of two tiles, with text before, between and after."""
    config = CONFIGS[which]
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
    with torch.no_grad():
        model(torch.tensor([ids]), images, trace=golden)
    compare_all(trace, golden, slack=100)
