"""A trained model in the C engine: its loss is torch's (docs/training.md)."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import numpy as np  # noqa: E402

from cromwell import binding  # noqa: E402
from tests.engine_models import SMALL, checkpoint, tokenizer_section, vocabulary  # noqa: E402
from tests.training_runs import FAST, make_folder  # noqa: E402
from training import config as configs  # noqa: E402
from training import export  # noqa: E402
from training.batches import IMAGE_TOKEN  # noqa: E402
from training.mixture import Drawn, open_mixture  # noqa: E402
from training.recipes import hybrid  # noqa: E402
from training.trainer import Trainer  # noqa: E402


def engine_loss(session: binding.Session, ids: list[int], first: int, picture: tuple[bytes, int, int] | None) -> list[float]:
    """Nats of ids[first:], each from the logits after those before it."""
    found = []
    for at, token in enumerate(ids):
        if at >= first:
            logits = np.array(session.logits(), np.float64)
            found.append(float(np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[token]))
        if token == IMAGE_TOKEN and picture is not None:
            session.feed_image(*picture)
        session.feed([token])
    return found


def test_the_engines_loss_is_torchs_to_one_part_in_ten_thousand(tmp_path, monkeypatch):
    """After training on texts and pictures, exported as float32: the mean over a batch of each, and the worst token."""
    recipe = hybrid().changed(**FAST | {"steps": 4, "matrix_rate": 0.01})
    folders = make_folder(tmp_path / "a", 1, 40, 0), make_folder(tmp_path / "b", 2, 8, 8)
    mixture, weights = open_mixture([f"{folder.name}={folder}@1" for folder in folders], 128, 0, 256)
    trainer = Trainer(configs.from_dict(SMALL), recipe, mixture, weights, vocabulary(SMALL["vocab_size"]).token_bytes())
    for _ in range(4):
        trainer.train_step()
    data = export.pack(checkpoint(trainer.model), SMALL, tokenizer_section(SMALL["vocab_size"]), "f32")
    (tmp_path / "model.cwm").write_bytes(data)
    for source in (0, 1):
        documents = mixture.sources[source].documents
        members = np.arange(4)
        monkeypatch.setattr(mixture, "draw", lambda position, *_, chosen=(source, members): ([Drawn(*chosen)], position))
        torchs = trainer.heldout_loss(mixture, 1)[""]
        engines = []
        with binding.Model(tmp_path / "model.cwm") as model:
            for member in members:
                ids = documents.tokens[documents.start[member] : documents.end[member]].tolist()
                image = documents.batch(np.array([member])).images
                picture = (image[0].tiles.numpy().tobytes(), image[0].rows, image[0].cols) if image else None
                assert (picture is not None) == (source == 1)
                with binding.Session(model, 128, max_tiles=1) as session:
                    engines += engine_loss(session, ids, int(documents.scored[member] - documents.start[member]), picture)
        assert len(engines) == documents.scored_tokens(members)
        assert abs(np.mean(engines) - torchs) <= 1e-4, (np.mean(engines), torchs)
