"""The initial weights that copy: an untrained model repeats what it has read (training/model/initial.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from training import config as configs  # noqa: E402
from training.model.initial import can_copy, orthonormal, related, start_copying  # noqa: E402
from training.model.model import Model  # noqa: E402

MODELS = Path(__file__).resolve().parent.parent / "models"


@pytest.fixture(scope="module")
def nano() -> Model:
    torch.manual_seed(0)
    model = Model(configs.load(MODELS / "nano.json"))
    assert can_copy(model)
    start_copying(model, [b""] * 16384)
    return model.eval()


@torch.no_grad()
def test_an_untrained_nano_copies_text_with_repeated_words(nano):
    """Eight words, so that each follows each: only several tokens together tell where the copy stands."""
    chance = torch.Generator().manual_seed(2)
    words = torch.randint(20, 16384, (8,), generator=chance)
    source = words[torch.randint(0, 8, (90,), generator=chance)]
    between = torch.randint(20, 16384, (40,), generator=chance)
    ids = torch.cat((source, between, source))[None]
    guess = nano.logits(nano(ids).hidden_BTA[0]).argmax(-1)
    right = (guess[130:-1] == ids[0, 131:]).float()
    assert right[6:].mean() > 0.85


@torch.no_grad()
def test_a_replaced_token_does_not_stop_the_copy(nano):
    chance = torch.Generator().manual_seed(3)
    source = torch.randint(20, 16384, (60,), generator=chance)
    copy = source.clone()
    copy[30] = 77
    ids = torch.cat((source, copy))[None]
    guess = nano.logits(nano(ids).hidden_BTA[0]).argmax(-1)
    assert guess[60 + 29] == source[30]
    assert (guess[60 + 31 : -1] == source[32:]).float().mean() > 0.9


@torch.no_grad()
def test_the_place_tells_copies_apart(nano):
    """Three lines that differ in their last token only, of which a copy of the last four tokens could take any."""
    feed, special = 30, 5
    nano.embed.breaks.zero_()
    nano.embed.breaks[feed], nano.embed.breaks[special] = 1, -1
    same = torch.randint(40, 16384, (7,), generator=torch.Generator().manual_seed(4)).tolist()
    region = [token for last in (31, 32, 33) for token in (*same, last, feed)]
    ids = torch.tensor([[special, *region, special, *region]])
    guess = nano.logits(nano(ids).hidden_BTA[0]).argmax(-1)
    nano.embed.breaks.zero_()
    assert guess[len(region) + 2 : -1].tolist() == region[1:]


def test_forms_of_a_word():
    texts = [b""] * 19 + [b"name", b" name", b"(name", b"  name", b"name2", b" other", b"name "]
    word, form = related(texts)
    assert (word.tolist(), form.tolist()) == ([19, 19], [20, 21])


def test_base_is_left_alone():
    with torch.device("meta"):
        assert not can_copy(Model(configs.load(MODELS / "base.json")))


def test_orthonormal_rows():
    rows = orthonormal(5, 9)
    torch.testing.assert_close(rows @ rows.T, torch.eye(5), rtol=0, atol=1e-6)
