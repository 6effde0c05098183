"""Model packs as training/export.py writes them (docs/pack.md)."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("torch")

import numpy as np  # noqa: E402

from cromwell import binding  # noqa: E402
from tests.engine_models import SMALL, TIED, checkpoint, random_model, tokenizer_section  # noqa: E402
from training import export, quantise  # noqa: E402


@pytest.mark.parametrize("config", [SMALL, TIED], ids=["small", "tied"])
def test_the_list_of_tensors_is_the_torch_model(config) -> None:
    weights = checkpoint(random_model(config))
    assert {tensor.name: tensor.shape for tensor in export.tensors(config)} == {name: value.shape for name, value in weights.items()}


def test_same_input_same_bytes(tmp_path) -> None:
    weights, section = checkpoint(random_model(SMALL)), tokenizer_section(300)
    data = export.pack(weights, SMALL, section, "q8")
    assert data == export.pack(dict(reversed(weights.items())), json.loads(json.dumps(SMALL)), section, "q8")
    (tmp_path / "model.cwm").write_bytes(data)
    with binding.Model(tmp_path / "model.cwm") as model:
        assert model.config == SMALL and model.info.vocab_size == 300


def test_the_fingerprint_covers_everything(tmp_path) -> None:
    weights, section = checkpoint(random_model(SMALL)), tokenizer_section(300)
    changed = dict(weights, **{"vision.norm": weights["vision.norm"] + 1})
    variants = [(weights, SMALL, quant) for quant in export.FORMATS]
    variants += [(changed, SMALL, "q8"), (weights, SMALL | {"logit_softcap": 14.0}, "q8")]
    seen = set()
    for i, (tensors, config, quant) in enumerate(variants):
        (tmp_path / str(i)).write_bytes(export.pack(tensors, config, section, quant))
        with binding.Model(tmp_path / str(i)) as model:
            model.verify()
            seen.add(model.fingerprint)
    assert len(seen) == len(variants)


def odd_matrix() -> np.ndarray:
    """37 outputs (panels of 16 with a rest), depth 160 (a group of 128 with a rest); zeros, one large number, tiny numbers."""
    weight = np.random.default_rng(0).standard_normal((37, 160)).astype(np.float32)
    weight[3, :128] = 0
    weight[4, 7] = 50
    weight[5] *= 1e-3
    weight[7] *= 1e-36
    weight[8, 128:] = 1e-36
    weight[6] = -np.abs(weight[6])
    return weight


def test_q8_is_within_half_a_step_or_better_as_a_whole() -> None:
    weight = odd_matrix()
    q8 = quantise.q8(weight)
    assert q8.values.shape == (37, 160) and q8.scales.shape == (37, 2) and np.abs(q8.values).max() <= 64
    step = np.repeat(quantise.widened(q8.scales), 128, axis=1)[:, :160]
    assert (q8.weights() == q8.values * step).all()
    zero = np.zeros(weight.shape, bool)
    zero[3, :128] = zero[7] = zero[8, 128:] = True  # zeros and what is too small to matter
    assert (q8.weights()[zero] == 0).all() and (step[~zero] > 0).all()
    assert (np.abs(q8.weights() - weight) <= step * 0.5001)[~zero & (np.abs(q8.values) < 64)].all()
    error = np.linalg.norm(q8.weights() - weight, axis=1)
    assert (error <= np.where(np.arange(37) == 4, 0.06, 0.015) * np.linalg.norm(weight, axis=1) + 1e-30).all(), error


def test_q4_finds_what_can_be_stored() -> None:
    """Numbers that are integers times multipliers times a scale come back as they were."""
    random = np.random.default_rng(1)
    integers = random.integers(-8, 8, (20, 4, 32))
    integers[:, :, 0] = -8
    weight = (integers * random.choice([4, 8], (20, 4, 1)) * random.choice([-0.5, 0.75], (20, 1, 1))).astype(np.float32)
    assert (quantise.q4(weight.reshape(20, 128)).weights() == weight.reshape(20, 128)).mean() > 0.9


def test_q4_is_as_good_as_a_scale_for_every_32() -> None:
    """The yardstick is the usual 4-bit format: for every 32 numbers one scale, the number of largest magnitude over -8, not rounded."""
    weight = odd_matrix()
    q4 = quantise.q4(weight)
    assert q4.values.min() >= -8 and q4.values.max() <= 7 and q4.multipliers.min() >= 1 and q4.multipliers.max() <= 8
    assert q4.multipliers.shape == (37, 5) and q4.scales.shape == (37, 2)
    blocks = np.delete(weight, 4, axis=0).reshape(-1, 32)  # but for the row with one large number, whose group must suffer
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], axis=1)
    scale = np.where(largest == 0, 1, largest / -8)
    usual = np.clip(np.rint(blocks / scale), -8, 7) * scale
    error = np.linalg.norm(np.delete(q4.weights() - weight, 4, axis=0))
    assert error < 1.02 * np.linalg.norm(usual - blocks)


@pytest.mark.parametrize("form", ["q8", "q4"])
def test_what_is_stored_is_what_is_promised(form: str, tmp_path) -> None:
    """The bytes of a pack, read as docs/pack.md says, are the dequantised weights, in every lane of every panel."""
    weight = odd_matrix()
    dtype, data = export._stored(export.Tensor("language.w", weight.shape, True, True), weight, form)
    kind, outputs, depth = {3: "q8", 4: "q4"}[dtype], 48, 160
    assert kind == form
    at, size = 0, outputs * depth // (1 if form == "q8" else 2)
    raw = np.frombuffer(data, np.uint8, size)
    at = -(-size // 64) * 64
    if form == "q8":
        integers = raw.reshape(3, depth // 4, 16, 4).transpose(0, 2, 1, 3).reshape(outputs, depth).astype(int) - 64
    else:
        pairs = raw.reshape(3, depth // 8, 16, 4).transpose(0, 2, 1, 3)  # [panel, lane, k / 8, k % 4]
        nibbles = np.stack([pairs & 15, pairs >> 4], axis=3).reshape(outputs, depth).astype(int) - 8
        multipliers = np.frombuffer(data, np.uint8, outputs * 5, at).reshape(3, 5, 16).transpose(0, 2, 1).reshape(outputs, 5)
        integers = nibbles * np.repeat(multipliers, 32, axis=1)
        at = -(-(at + outputs * 5) // 64) * 64
        assert (multipliers[37:] == 1).all()
    scales = np.frombuffer(data, np.uint16, outputs * 2, at).reshape(3, 2, 16).transpose(0, 2, 1).reshape(outputs, 2)
    assert at + 4 * outputs == len(data) and np.abs(integers).max() <= 64
    weights = integers * np.repeat((scales.astype(np.uint32) << 16).view(np.float32), 128, axis=1)[:, :depth]
    assert (weights[:37] == quantise.FORMATS[form](weight).weights()).all() and (integers[37:] == 0).all() and (scales[37:] == 0).all()


def test_formats_of_tensors() -> None:
    """Depths that are no multiple of 32, small matrices and vectors stay float32; q4 is for what it does little harm to."""
    def of(name: str, shape: tuple[int, ...], quant: str = "q4", matrix: bool = True) -> str:
        return export.format_of(export.Tensor(name, shape, matrix, matrix), quant)
    assert of("ar.layers.0.w_up", (256, 256)) == "q4" and of("ar.layers.0.w_up", (256, 256), "q8") == "q8"
    assert of("ar.layers.0.w_up", (256, 250)) == of("ar.layers.0.w_up", (16, 128)) == of("ar.norm", (8192,), matrix=False) == "f32"
    assert of("embed.weight", (300, 64)) == of("ar.head", (300, 64)) == of("jepa.predict.0.w1", (64, 64)) == "q4"
    for name in ("ar.layers.0.wk", "fusion.layers.0.text_wo", "fusion.text_proj", "ar.in_proj", "vision.layers.0.w1"):
        assert of(name, (256, 64)) == "q8"
    assert of("embed.weight", (300, 64), "f32") == "f32"


def test_bfloat_numbers() -> None:
    values = np.array([0, 1, 1.00390625, 1.01171875, 3e-37, 3.0e38], np.float32)  # two ties, one of each parity
    assert quantise.widened(quantise.nearest(values)).tolist()[:4] == [0, 1, 1, 1.015625]
    raised = quantise.widened(quantise._raised(values))
    assert (raised >= values).all() and (raised <= values * 1.0079).all() and (raised[:2] == values[:2]).all()


def test_depths_that_cannot_be_quantised() -> None:
    for form in quantise.FORMATS.values():
        with pytest.raises(ValueError, match="multiple of 32"):
            form(np.ones((4, 40), np.float32))


def test_panels() -> None:
    matrix = np.arange(20 * 8, dtype=np.float32).reshape(20, 8)
    stored = export.panels(matrix)
    assert stored.shape == (2, 8, 16, 1)
    assert (stored[1, 2, :4, 0] == matrix[16:, 2]).all() and (stored[1, :, 4:] == 0).all()
    grouped = export.panels(matrix, 4, 7)
    assert grouped.shape == (2, 2, 16, 4)
    assert (grouped[1, 1, :4] == matrix[16:, 4:]).all() and (grouped[1, :, 4:] == 7).all()


def test_checkpoints_that_do_not_fit() -> None:
    weights, section = checkpoint(random_model(SMALL)), tokenizer_section(300)
    cases = [
        {name: value for name, value in weights.items() if name != "ar.norm"},
        weights | {"extra": np.zeros(3, np.float32)},
        weights | {"ar.norm": np.zeros(3, np.float32)},
        weights | {"ar.norm": np.full(64, np.nan, np.float32)},
    ]
    for case in cases:
        with pytest.raises(export.ExportError):
            export.pack(case, SMALL, section, "q8")


def test_the_command(tmp_path) -> None:
    from safetensors.numpy import save_file

    save_file(checkpoint(random_model(SMALL)), tmp_path / "weights.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    (tmp_path / "tokenizer.bin").write_bytes(tokenizer_section(300))
    command = [sys.executable, "-m", "training.export", str(tmp_path / "weights.safetensors"), "--config", str(tmp_path / "config.json")]
    command += ["--tokenizer", str(tmp_path / "tokenizer.bin"), "--quant", "f32", "--out", str(tmp_path / "model.cwm")]
    import os

    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(command, check=True, env=environment, capture_output=True)
    with binding.Model(tmp_path / "model.cwm") as model:
        assert model.info.joint_size == 48
