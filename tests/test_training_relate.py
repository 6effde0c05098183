"""Forms of a word share part of their embedding (training/relate.py)."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from training.relate import SHARE, bare_word, forms, relate  # noqa: E402


@pytest.mark.parametrize(("token", "word"), [
    (b" cookies", b"cookies"), (b"(a", b"a"), (b".__init", b"__init"), (b" \xc3\xa9", b"\xc3\xa9"),
    (b"cookies", None), (b" 12", None), (b"1a", None), (b"()", None), (b" a b", None), (b"", None),
])
def test_bare_word(token, word):
    assert bare_word(token) == word


def test_a_form_takes_its_share_and_others_stay():
    tokens = [b"<PAD>", b"cookies", b" cookies", b" 12", b"(lonely"]
    form, bare = forms(tokens, 1)
    assert (form.tolist(), bare.tolist()) == ([2], [1])
    table = torch.randn(5, 4096, generator=torch.Generator().manual_seed(0))
    related = relate(table, form, bare)
    assert torch.equal(related[[0, 1, 3, 4]], table[[0, 1, 3, 4]])
    alike = torch.nn.functional.cosine_similarity(related[2], table[1], dim=0)
    assert abs(float(alike) - SHARE**0.5) < 0.05
