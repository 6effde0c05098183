"""The initial weights that copy: an untrained model repeats what it has read (training/model/initial.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from cromwell.contract.prompt import SPECIAL_TOKENS  # noqa: E402
from training import config as configs  # noqa: E402
from training.model.initial import SYMBOL, can_copy, orthonormal, related, start_copying  # noqa: E402
from training.model.model import Model  # noqa: E402

MODELS = Path(__file__).resolve().parent.parent / "models"


EDIT, END, START = (SPECIAL_TOKENS.index(name) for name in ("<EDIT>", "</EDIT>", "<EDIT_START>"))


@pytest.fixture(scope="module")
def nano() -> Model:
    torch.manual_seed(0)
    model = Model(configs.load(MODELS / "nano.json"))
    assert can_copy(model)
    texts = [b""] * 16384
    model.embed.set_tokens(texts, len(SPECIAL_TOKENS))
    start_copying(model, texts)
    return model.eval()


@torch.no_grad()
def guesses(model: Model, region: list[int], between: list[int], answer: list[int]) -> list[int]:
    """What the model expects after <EDIT_START> and after each token of the answer."""
    ids = [EDIT, *region, END, *between, START, *answer]
    outputs = model(torch.tensor([ids]))
    return model.logits(outputs.hidden_BTA, outputs.chosen)[0, -len(answer) - 1 :].argmax(-1).tolist()


def test_an_untrained_nano_copies_text_with_repeated_words(nano):
    """Eight words, so that each follows each: only several tokens together, and the place, tell where the copy stands."""
    chance = torch.Generator().manual_seed(2)
    words = torch.randint(20, 16384, (8,), generator=chance)
    source = words[torch.randint(0, 8, (50,), generator=chance)].tolist()
    between = torch.randint(20, 16384, (40,), generator=chance).tolist()
    found = guesses(nano, source, between, source)
    assert sum(a == b for a, b in zip(found, source, strict=False)) > 0.9 * len(source)
    assert found[-1] == SPECIAL_TOKENS.index("<EDIT_END>")


def test_a_replaced_token_does_not_stop_the_copy(nano):
    source = torch.randint(20, 16384, (50,), generator=torch.Generator().manual_seed(3)).tolist()
    copy = source.copy()
    copy[30] = 77
    found = guesses(nano, source, [], copy)
    assert found[30] == source[30]
    assert sum(a == b for a, b in zip(found[32:], source[32:], strict=False)) >= 16


def test_the_place_tells_copies_apart(nano):
    """Three lines that differ in their last token only, of which a copy of the last four tokens could take any."""
    feed = 30
    same = torch.randint(40, 16384, (7,), generator=torch.Generator().manual_seed(4)).tolist()
    region = [token for last in (31, 32, 33) for token in (*same, last, feed)]
    nano.embed.breaks[feed] = 1
    found = guesses(nano, region, [], region)
    nano.embed.breaks[feed] = 0
    assert found[:-1] == region


def test_forms_of_a_word_have_its_part_in_common():
    texts = [b""] * 19 + [b"name", b" name", b"(name", b"  name", b"name2", b" other", b"(other"]
    rows = related(torch.randn(26, 40, generator=torch.Generator().manual_seed(1)), texts)
    word, symbol = rows[:, : 40 - SYMBOL], rows[:, 40 - SYMBOL :]
    assert (word[19] == word[20]).all() and (word[19] == word[21]).all() and (word[24] == word[25]).all()
    assert (symbol[20] == symbol[24]).all() and (symbol[21] == symbol[25]).all()
    for one in (22, 23):
        assert not (word[19] == word[one]).any() and not (symbol[19] == symbol[one]).any()


def test_base_is_left_alone():
    with torch.device("meta"):
        assert not can_copy(Model(configs.load(MODELS / "base.json")))


def test_orthonormal_rows():
    rows = orthonormal(5, 9)
    torch.testing.assert_close(rows @ rows.T, torch.eye(5), rtol=0, atol=1e-6)
