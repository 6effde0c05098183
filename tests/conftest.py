"""What several test files share: a model pack, the commands as programs in a folder, and a cache of their own for every test."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

import cromwell

COMMANDS = {
    "cw-context": "cromwell.prepare.cw_context", "cw-encode": "cromwell.encode.cw_encode", "cw-generate": "cromwell.generate.cw_generate",
    "cw-diff": "cromwell.apply.cw_diff", "cw-apply": "cromwell.apply.cw_apply", "cw-inspect": "cromwell.contract.cw_inspect",
}
SITE = Path(os.path.abspath(str(cromwell.__file__))).parent.parent
TINY = {
    "name": "tiny", "max_positions": 2048, "norm_eps": 1e-6, "rope_base": 10000.0, "tie_embeddings": True, "qk_norm": True,
    "token_shift": True, "places": 0, "aligned": False, "logit_softcap": 15.0,
    "vision": {"stem_channels": 8, "cnn_channels": 16, "expansion": 2, "hidden": 32, "mlp": 64, "layers": 2, "heads": 2, "window": 16,
               "global_layers": [1], "shuffle": 4, "max_tiles": 4},
    "language": {"hidden": 64, "mlp": 96, "layers": 2, "heads": 4, "kv_heads": 1},
    "fusion": {"hidden": 48, "mlp": 64, "layers": 1, "heads": 3},
    "jepa": {"hidden": 48, "mlp": 64, "layers": 1, "heads": 3, "kv_heads": 3, "steps": 3},
    "ar": {"hidden": 64, "mlp": 96, "layers": 1, "heads": 4, "kv_heads": 1},
}

# A shell starts what runs in its background with interrupts ignored, and so would every process that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def random_pack(folder: Path, seed: int) -> Path:
    """A model pack of random weights and a small vocabulary."""
    np = pytest.importorskip("numpy")
    export, tokenizer = pytest.importorskip("training.export"), pytest.importorskip("training.tokenizer")
    sources = sorted(SITE.glob("cromwell/**/*.py")) + sorted(Path(json.__file__).parent.glob("*.py"))
    vocabulary = tokenizer.train([source.read_bytes() for source in sources], 1024)
    config = TINY | {"vocab_size": vocabulary.size}
    random = np.random.default_rng(seed)
    weights = {tensor.name: random.normal(0, 0.3, tensor.shape).astype(np.float32) for tensor in export.tensors(config)}
    path = folder / f"random{seed}.cwm"
    path.write_bytes(export.pack(weights, config, tokenizer.to_section(vocabulary), "q8"))
    return path


@pytest.fixture(scope="session")
def other_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack that is not the installed one: tiny, with random weights."""
    return random_pack(tmp_path_factory.mktemp("pack"), 1)


@pytest.fixture(scope="session")
def model_pack() -> Path:
    """The installed model pack."""
    from cromwell import binding

    return Path(binding.default_model_path())


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the commands as programs that run the package under test, wherever it is installed."""
    folder = tmp_path_factory.mktemp("bin")
    for name, module in COMMANDS.items():
        code = f"import sys; sys.path.insert(0, {str(SITE)!r}); sys.argv[0] = {name!r}; from {module} import main; main()"
        program = folder / name
        program.write_text(f"#!/bin/sh\nexec {sys.executable} -P -c \"{code}\" \"$@\"\n")
        program.chmod(0o755)
    return folder


@pytest.fixture
def environment(tmp_path: Path, commands: Path, model_pack: Path) -> dict[str, str]:
    """Variables for subprocesses: the commands in PATH, the model, and an empty home and cache."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CROMWELL_", "XDG_"))}
    home = tmp_path / "home"
    home.mkdir()
    return kept | {"PATH": f"{commands}:{os.environ['PATH']}", "HOME": str(home), "CROMWELL_CACHE": str(tmp_path / "cache"),
                   "CROMWELL_MODEL": str(model_pack)}
