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
from training import export  # noqa: E402


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
    variants = [(weights, SMALL, "q8"), (weights, SMALL, "f32"), (changed, SMALL, "q8"), (weights, SMALL | {"logit_softcap": 14.0}, "q8")]
    seen = set()
    for i, (tensors, config, quant) in enumerate(variants):
        (tmp_path / str(i)).write_bytes(export.pack(tensors, config, section, quant))
        with binding.Model(tmp_path / str(i)) as model:
            seen.add(model.fingerprint)
    assert len(seen) == len(variants)


def test_quantisation_is_within_half_a_step() -> None:
    weight = np.random.default_rng(0).standard_normal((37, 150)).astype(np.float32)
    weight[3, 64:128] = 0
    values, scales = export.quantised(weight)
    assert values.shape == weight.shape and scales.shape == (37, 3) and values.min() >= -127
    step = np.repeat(scales, export.GROUP, axis=1)[:, :150]
    assert (np.abs(values * step - weight) <= step * 0.5001).all()
    assert (values[3, 64:128] == 0).all()


def test_panels() -> None:
    matrix = np.arange(20 * 3, dtype=np.float32).reshape(20, 3)
    stored = export.panels(matrix)
    assert stored.shape == (2, 3, 16)
    assert (stored[1, 2, :4] == matrix[16:, 2]).all() and (stored[1, :, 4:] == 0).all()


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
