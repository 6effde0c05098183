"""How far answers have come in their regions (docs/model.md, Alignment): what it should say of edits, and the C engine against torch,
however a text was fed."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from cromwell import binding  # noqa: E402
from cromwell.contract.prompt import SPECIAL_TOKENS  # noqa: E402
from tests.engine_models import SMALL, exchange, random_model, text, vocabulary, write_pack  # noqa: E402
from training import export  # noqa: E402
from training.model.alignment import INSERT, JUMP, NONE, RUNS, Lexicon, align, path, words_and_leads  # noqa: E402
from training.tokenizer import to_section  # noqa: E402

EDIT, CLOSE, INS, START, END = (SPECIAL_TOKENS.index(name) for name in ("<EDIT>", "</EDIT>", "<INS>", "<EDIT_START>", "<EDIT_END>"))
TEXTS = [b""] * len(SPECIAL_TOKENS) + [bytes([i]) for i in range(256)]


def token(character: str) -> int:
    return len(SPECIAL_TOKENS) + ord(character)


def ids_of(characters: str) -> list[int]:
    """A token a character."""
    return [token(c) for c in characters]


def aligned(region: str, instruction: str, answer: str):
    """(the region's index of its first token, what is known of <EDIT_START> and each token of the answer)."""
    ids = np.array([[EDIT, *ids_of(region), CLOSE, INS, *ids_of(instruction), START, *ids_of(answer)]])
    breaks = np.array([-1.0] * len(SPECIAL_TOKENS) + [float(t.count(b"\n")) for t in TEXTS[len(SPECIAL_TOKENS) :]])
    return align(ids, Lexicon(*map(np.array, words_and_leads(TEXTS)), breaks))


def places(region: str, answer: str) -> list[int]:
    return path(np.array(ids_of(region)), ids_of(answer)).tolist()


def test_a_copy_goes_on():
    assert places("abcdef", "abcd") == [0, 1, 2, 3, 4]
    assert places("", "ab") == [0, 0, 0]


def test_what_is_new_waits_and_the_copy_goes_on_after_what_it_replaced():
    assert places("abcdef", "abXYdef") == [0, 1, 2, 2, 2, 4, 5, 6]
    assert places("abcdef", "abXYcd") == [0, 1, 2, 2, 2, 3, 4]


def test_what_is_left_out_is_jumped_over():
    assert places("abcdefgh", "abgh") == [0, 1, 2, 7, 8]


def test_a_new_token_that_occurs_later_is_found_out():
    """The `)` that closes a wrapped `b` is not the one further on."""
    region = "f(a,b,c,d)+e"
    assert places(region, "f(a,s(b),c,d)+e")[-7:] == [6, 7, 8, 9, 10, 11, 12]


def test_candidates_and_mentions():
    found = aligned("x=foo+1\ny=2", "foo to bar", "x=b")
    known = found.candidate_BTC[found.place_BT >= 0].tolist()
    assert known[0] == [token("x"), token("="), token("y"), NONE]
    after_equals = known[2]
    assert after_equals == [token("f"), token("+"), token("y"), NONE], "the mention of foo is skipped as one"
    assert known[3] == [token("f"), token("+"), token("y"), token("a")], "b is new, and a follows it in the instruction"
    mention = found.mention_BT[0]
    assert mention[mention >= RUNS].tolist() == [RUNS, RUNS, RUNS + 3, 2 * RUNS + 3]
    asked = mention[(mention >= 0) & (mention < RUNS)].tolist()
    assert asked == [1, 2, 3, 0, 0, 1, 0, 0, 0, 0], "f, o, o; the o of to stands in the region too"


def test_the_answer_ends_after_the_region():
    found = aligned("ab", "x", "ab")
    assert found.candidate_BTC[found.place_BT >= 0].tolist()[-1] == [END, END, END, NONE]


def test_words_are_the_same_after_one_character():
    texts = [b""] * len(SPECIAL_TOKENS) + [b"name", b" name", b"(name", b"_name", b"  name", b"\n", b" ", b"10", b" 10"]
    first = len(SPECIAL_TOKENS)
    words, leads = words_and_leads(texts)
    assert words[first:] == [first, first, first, first, first + 4, first + 5, first + 6, first + 7, first + 7]
    assert leads[first:] == [1, 2 + ord(" "), 2 + ord("("), 2 + ord("_"), 0, 0, 0, 1, 2 + ord(" ")]


def test_what_is_pointed_at_is_written_in_the_form_of_what_it_replaces():
    texts = [b""] * len(SPECIAL_TOKENS) + [b"(old", b" new", b"(new", b"new", b" old", b" to", b"=", b"(odd", b"odd"]
    old, new, called, _, asked, to, equals, odd, _ = range(len(SPECIAL_TOKENS), len(texts))
    lexicon = Lexicon(*map(np.array, words_and_leads(texts)), np.where(np.arange(len(texts)) < len(SPECIAL_TOKENS), -1.0, 0.0))
    found = align(np.array([[EDIT, old, equals, CLOSE, INS, asked, to, new, START, odd, equals]]), lexicon).pointed[0]
    assert found.id_KI.tolist() == [
        [old, to, called],  # in front of `(old`; there is no `(to`
        [asked, to, new],  # something new has begun: as it stands
        [asked, to, new],  # `=` is no word
    ]


def test_texts_without_an_exchange_have_no_alignment():
    for ids in ([EDIT, 30, CLOSE, START, 30], [30, INS, 31, START, 32], [EDIT, 30, INS, 31, START], [START], [CLOSE, INS, START]):
        found = align(np.array([ids]), Lexicon(np.arange(300), np.zeros(300), np.where(np.arange(300) < 19, -1.0, 0.0)))
        assert (found.place_BT < 0).all() and (found.mention_BT < 0).all()


@given(st.lists(st.integers(20, 24), max_size=20), st.lists(st.integers(20, 24), max_size=20))
@settings(max_examples=200, deadline=None)
def test_a_path_is_the_cheapest_way(region, answer):
    """Against a plain search over all ways."""

    def costs(count: int) -> list[float]:
        """Of coming to each place after `count` tokens without a jump at the end."""
        if count == 0:
            return [0] + [float("inf")] * len(region)
        before = costs(count - 1)
        jumped = [min([before[p], *(before[q] + JUMP for q in range(p))]) for p in range(len(region) + 1)]
        copied = [float("inf")] + [jumped[p - 1] if region[p - 1] == answer[count - 1] else float("inf") for p in range(1, len(region) + 1)]
        return [min(jumped[p] + INSERT, copied[p]) for p in range(len(region) + 1)]

    want = [int(np.argmin(costs(count))) for count in range(len(answer) + 1)]
    assert path(np.array(region, dtype=int), answer).tolist() == want


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    model = random_model(SMALL)
    with binding.Model(write_pack(model, SMALL, "f32", tmp_path_factory.mktemp("align") / "model.cwm")) as opened:
        yield opened


def state(session: binding.Session) -> bytes:
    return session.joint(0, session.length) + bytes(session.logits_rows(min(session.length, 40)))


def whole(pack, ids: list[int]) -> bytes:
    with binding.Session(pack, len(ids)) as session:
        session.feed(ids)
        return state(session)


def test_pieces_give_what_the_whole_gives(pack):
    ids = exchange(SMALL, answer=60) + [END, *exchange(SMALL, seed=1)]
    with binding.Session(pack, len(ids)) as session:
        for at in range(0, len(ids), 7):
            session.feed(ids[at : at + 7])
        assert state(session) == whole(pack, ids)


@pytest.mark.parametrize("back", [1, 5, 31, 33, 58, 70, 90])
def test_rewinding_forgets(pack, back):
    """Within the answer, further than its costs are kept, to its start and into the instruction."""
    ids = exchange(SMALL, seed=2, answer=60)
    other = exchange(SMALL, seed=3, answer=60)
    with binding.Session(pack, 400) as session:
        session.feed(ids)
        session.rewind(len(ids) - back)
        session.feed(other[-30:])
        assert state(session) == whole(pack, ids[:-back] + other[-30:])
        session.rewind(len(ids) - back - 3)
        session.feed([START, *other[-9:]])
        assert state(session) == whole(pack, ids[: -back - 3] + [START, *other[-9:]])


def test_shared_sessions_follow_their_own_answers(pack):
    ids = exchange(SMALL, seed=4, answer=3)
    answers = [exchange(SMALL, seed=5 + i)[-20:] for i in range(3)]
    with binding.Session(pack, 200) as source:
        source.feed(ids)
        sessions = [binding.Session(pack, 200) for _ in answers]
        for session in sessions:
            session.share(source, len(ids))
            assert state(session) == state(source)
        for step in range(20):
            binding.feed_each(sessions, [answer[step] for answer in answers])
        together = bytes(binding.logits_each(sessions))
        for session, answer in zip(sessions, answers, strict=True):
            assert state(session) == whole(pack, ids + answer)
        assert together == b"".join(bytes(session.logits()) for session in sessions)
        for session in sessions:
            session.close()


@given(st.integers(0, 10_000), st.integers(0, 40), st.integers(0, 20), st.integers(0, 50))
@settings(max_examples=30, deadline=None)
def test_torch_says_the_same(pack, seed, region, instruction, answer):
    ids = exchange(SMALL, seed, region, instruction, answer)
    model = random_model(SMALL)
    with torch.no_grad():
        outputs = model(torch.tensor([ids]))
        want = model.logits(outputs.hidden_BTA, outputs.chosen)[0]
    with binding.Session(pack, len(ids)) as session:
        session.feed(ids)
        found = np.array(session.logits_rows(len(ids))).reshape(len(ids), -1)
    assert np.abs(found - want.numpy()).max() < 1e-3


def test_a_tokenizer_without_the_special_tokens_is_refused(tmp_path):
    model = random_model(SMALL)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    whole = vocabulary(SMALL["vocab_size"])
    section = to_section(whole._replace(specials=tuple(name.replace("<EDIT_START>", "<OTHER>") for name in whole.specials)))
    (tmp_path / "odd.cwm").write_bytes(export.pack(weights, SMALL, section, "f32"))
    with pytest.raises(binding.CromwellError, match="aligned and its tokenizer has no <EDIT_START>"):
        binding.Model(tmp_path / "odd.cwm")


def test_rows_of_one_batch_do_not_meet(pack):
    model = random_model(SMALL)
    first, second = exchange(SMALL, 6), text(SMALL, 20)
    padded = torch.tensor([first, second + [0] * (len(first) - len(second))])
    with torch.no_grad():
        outputs, alone = model(padded), model(torch.tensor([first]))
        together = model.logits(outputs.hidden_BTA, outputs.chosen)[0]
        assert torch.allclose(together, model.logits(alone.hidden_BTA, alone.chosen)[0], atol=1e-5)
