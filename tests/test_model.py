"""The torch model: sizes, causality, feeding in pieces, images, the trace (docs/model.md)."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from training import config as configs  # noqa: E402
from training.model.layers import rope_tables  # noqa: E402
from training.model.model import Cache, Image, Model  # noqa: E402

MODELS = Path(__file__).resolve().parent.parent / "models"
SIZE = 40  # tokens in most texts here
SPREAD = 0.05  # of the random values put into every weight, gates and zero-initialised projections included


def small_config(**changes) -> configs.ModelConfig:
    """A model of a few thousand parameters with every switch on, untied heads and grouped keys."""
    values = {
        "name": "small", "vocab_size": 97, "max_positions": 128, "norm_eps": 1e-6, "rope_base": 10000.0,
        "tie_embeddings": False, "qk_norm": True, "token_shift": True, "places": 6, "aligned": True, "logit_softcap": 15.0,
        "vision": {"stem_channels": 8, "cnn_channels": 16, "expansion": 2, "hidden": 32, "mlp": 48, "layers": 2, "heads": 2,
                   "window": 16, "global_layers": [1], "shuffle": 4, "max_tiles": 4},
        "language": {"hidden": 64, "mlp": 80, "layers": 2, "heads": 4, "kv_heads": 2},
        "fusion": {"hidden": 48, "mlp": 64, "layers": 2, "heads": 3},
        "jepa": {"hidden": 48, "mlp": 64, "layers": 1, "heads": 3, "kv_heads": 3, "steps": 3},
        "ar": {"hidden": 64, "mlp": 80, "layers": 2, "heads": 4, "kv_heads": 1},
    }  # fmt: skip
    return configs.from_dict({**values, **changes})


def small_model(**changes) -> Model:
    """A small model in which nothing is zero, so that every path carries something."""
    torch.manual_seed(5)
    model = Model(small_config(**changes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * SPREAD)
    if model.config.places:
        model.embed.set_tokens([b"\n" * (i % 7 == 0) for i in range(97)], 5)
    return model.eval()


def picture(position: int, seed: int, row: int = 0, rows: int = 1, cols: int = 1) -> Image:
    tiles = torch.randint(0, 256, (rows * cols, 256, 256, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return Image(row, position, tiles, rows, cols)


def text(rows: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 97, (rows, SIZE), generator=torch.Generator().manual_seed(seed))


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest difference relative to the largest value."""
    return float((a - b).abs().max() / b.abs().max())


@pytest.fixture(scope="module")
def model() -> Model:
    return small_model()


def test_base_has_the_sizes_of_the_design():
    """DESIGN 4 names them in millions, the embedding counted with the language encoder."""
    with torch.device("meta"):
        model = Model(configs.load(MODELS / "base.json"))
    sizes = Counter()
    for name, parameter in model.named_parameters():
        part = name.split(".")[0]
        sizes["language" if part == "embed" else part] += parameter.numel()
    assert {part: round(size / 1e6, 1) for part, size in sizes.items()} == {
        "vision": 12.6, "language": 141.0, "fusion": 32.1, "jepa": 18.4, "ar": 90.1,
    }  # fmt: skip
    assert sizes.total() < 300e6


def test_nano_is_small():
    with torch.device("meta"):
        model = Model(configs.load(MODELS / "nano.json"))
    assert 5e6 <= sum(parameter.numel() for parameter in model.parameters()) <= 11e6


def test_tensor_names_and_shapes_are_those_of_the_page():
    """Spells out docs/model.md's table for base."""
    config = configs.load(MODELS / "base.json")
    with torch.device("meta"):
        have = {name: tuple(tensor.shape) for name, tensor in Model(config).state_dict().items()}
    vision, joint, wide = config.vision, config.fusion.hidden, config.vision.expansion
    want = {"embed.weight": (50000, 768), "ar.head": (50000, 768), "ar.guide_gate": (joint,), "ar.in_proj": (768, joint)}
    for part, stack in (("language", config.language), ("jepa", config.jepa), ("ar", config.ar)):
        width, keys, mlp = stack.hidden, stack.kv_heads * stack.hidden // stack.heads, stack.mlp
        want[f"{part}.norm"] = (width,)
        for i in range(stack.layers):
            here = f"{part}.layers.{i}."
            want |= {here + "attn_norm": (width,), here + "mlp_norm": (width,)}
            want |= {here + "wq": (width, width), here + "wk": (keys, width), here + "wv": (keys, width), here + "wo": (width, width)}
            want |= {here + "w_gate": (mlp, width), here + "w_up": (mlp, width), here + "w_down": (width, mlp)}
    for k in range(config.jepa.steps):
        want |= {f"jepa.predict.{k}.w1": (joint, joint), f"jepa.predict.{k}.w2": (joint, joint)}
    want |= {"fusion.text_proj": (joint, 768), "fusion.vision_proj": (joint, vision.hidden), "fusion.norm": (joint,)}
    for i in range(config.fusion.layers):
        here = f"fusion.layers.{i}."
        want |= {here + name: (joint,) for name in ("vision_norm", "text_norm", "mlp_norm", "text_null_k", "text_gate")}
        want |= {f"{here}{side}_w{matrix}": (joint, joint) for side in ("vision", "text") for matrix in "qkvo"}
        mlp = config.fusion.mlp
        want |= {here + "w_gate": (mlp, joint), here + "w_up": (mlp, joint), here + "w_down": (joint, mlp)}
    narrow, broad, width = vision.stem_channels, vision.cnn_channels, vision.hidden
    want |= {"vision.stem.weight": (narrow, 48), "vision.stem.bias": (narrow,), "vision.proj": (width, broad), "vision.norm": (width,)}
    want |= {"vision.pos": (1024, width), "vision.tile_row": (8, width), "vision.tile_col": (8, width)}
    for i, (c_in, c_out) in enumerate(((narrow, narrow), (narrow, broad), (broad, broad), (broad, broad))):
        here, middle, squeezed = f"vision.cnn.{i}.", wide * c_in, max(8, c_in // 4)
        want |= {here + "norm": (c_in,), here + "expand": (middle, c_in), here + "project": (c_out, middle)}
        want |= {here + "dw": (3, 3, middle), here + "dw_bias": (middle,), here + "se_w1": (squeezed, middle)}
        want |= {here + "se_b1": (squeezed,), here + "se_w2": (middle, squeezed), here + "se_b2": (middle,)}
    for i in range(vision.layers):
        here = f"vision.layers.{i}."
        want |= {here + "attn_norm": (width,), here + "mlp_norm": (width,)}
        want |= {here + "w1": (vision.mlp, width), here + "w2": (width, vision.mlp)}
        want |= {f"{here}w{matrix}": (width, width) for matrix in "qkvo"}
    assert have == want


def test_switches_add_and_remove_their_tensors():
    tied = Model(small_config(tie_embeddings=True, qk_norm=False, token_shift=False, places=0, aligned=False)).state_dict()
    absent = {
        "ar.head",
        "embed.shift",
        "embed.line",
        "embed.column",
        "embed.breaks",
        "embed.mention",
        "ar.aligned.0",
        "ar.choose",
        "ar.point_q",
        "embed.leads",
        "language.layers.0.q_norm",
    }
    assert not absent & tied.keys()
    present = {
        "ar.head",
        "embed.shift",
        "embed.line",
        "embed.mention",
        "ar.aligned.3",
        "ar.choose_bias",
        "language.layers.0.q_norm",
        "ar.layers.1.k_norm",
    }
    assert present <= Model(small_config()).state_dict().keys()


def test_lines_and_columns_start_over_at_special_tokens():
    model = small_model(places=3, aligned=False)
    special, feed, two, plain = 2, 7, 21, 8
    model.embed.breaks[two] = 2
    ids = torch.tensor([[plain, plain, feed, plain, special, plain, two, plain, plain, plain, feed, feed]])
    with torch.no_grad():
        model.embed.shift.zero_()
        x, _ = model.embed(ids)
        rows = x - model.embed.weight[ids]
        lines, columns = (0, 0, 1, 1, 0, 0, 2, 2, 2, 2, 2, 2), (0, 1, 0, 1, 0, 1, 0, 1, 2, 2, 0, 0)  # at most 2
        parts = (0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2)  # 3, the id of the special token and 1, at most 2
        want = model.embed.line[list(lines)] + model.embed.column[list(columns)] + model.embed.part[list(parts)]
        assert torch.allclose(rows[0], want, atol=1e-6)


@pytest.mark.parametrize(
    "change, told",
    [
        ({"vocab_size": 0}, "vocab_size"),
        ({"places": -1}, "places"),
        ({"places": 0, "aligned": True}, "aligned"),
        ({"surprise": 1}, "unknown surprise"),
        ({"tie_embeddings": True, "ar": {"hidden": 128, "mlp": 80, "layers": 2, "heads": 4, "kv_heads": 1}}, "tied"),
        ({"language": {"hidden": 64, "mlp": 80, "layers": 2, "heads": 4, "kv_heads": 3}}, "kv_heads"),
        ({"language": {"hidden": 64, "mlp": 80, "layers": 2, "heads": 4}}, "language: missing kv_heads"),
        ({"fusion": {"hidden": 96, "mlp": 64, "layers": 2, "heads": 3}}, "jepa.hidden"),
    ],
)
def test_impossible_configurations_are_refused(change, told):
    with pytest.raises(configs.ConfigError, match=told):
        small_config(**change)


def test_configuration_survives_json():
    config = small_config()
    assert configs.from_dict(json.loads(json.dumps(configs.to_dict(config)))) == config


@torch.no_grad()
@pytest.mark.parametrize("images", [[], [picture(11, 1)], [picture(6, 1, cols=2), picture(23, 2)]], ids=["text", "image", "two images"])
def test_a_later_token_changes_nothing_before_it(model, images):
    ids = text()
    before = model(ids, images)
    for place in (0, 5, 12, 24, SIZE - 1):
        changed = ids.clone()
        changed[0, place] = (changed[0, place] + 1) % 97
        after = model(changed, images)
        for name in ("joint_BTJ", "context_BTJ", "hidden_BTA"):
            old, new = getattr(before, name), getattr(after, name)
            assert torch.equal(old[:, :place], new[:, :place]), (name, place)
            assert not torch.equal(old[:, place:], new[:, place:]), (name, place)


@torch.no_grad()
def test_an_image_reaches_its_own_token_and_later_ones_only(model):
    ids, place = text(), 14
    one, other = model(ids, [picture(place, 1)]), model(ids, [picture(place, 2)])
    assert torch.equal(one.hidden_BTA[:, :place], other.hidden_BTA[:, :place])
    assert (one.joint_BTJ[:, place:] != other.joint_BTJ[:, place:]).any(-1).all()
    assert difference(one.joint_BTJ[:, :place], model(ids).joint_BTJ[:, :place]) < 1e-6


@torch.no_grad()
@pytest.mark.parametrize("images", [[], [picture(11, 1)], [picture(6, 1, cols=2), picture(23, 2)]], ids=["text", "image", "two images"])
@pytest.mark.parametrize("cuts", [list(range(1, SIZE)), [7], [11, 12, 30], [3, 23]], ids=["singly", "7", "11 12 30", "3 23"])
def test_feeding_in_pieces_equals_feeding_at_once(model, images, cuts):
    ids = text()
    whole = model(ids, images)
    cache, pieces = Cache(model.config), []
    for first, last in zip([0, *cuts], [*cuts, SIZE], strict=True):
        pieces.append(model(ids[:, first:last], [image for image in images if first <= image.position < last], cache))
    assert cache.length == SIZE
    for name in ("joint_BTJ", "context_BTJ", "hidden_BTA"):
        joined = torch.cat([getattr(piece, name) for piece in pieces], dim=1)
        assert difference(joined, getattr(whole, name)) < 2e-5, name


@torch.no_grad()
def test_text_alone_equals_the_path_with_only_the_null_key(model):
    """Feeding through a cache takes the fusion's attentions with no vision tokens: they must add exactly nothing."""
    ids = text()
    assert difference(model(ids, cache=Cache(model.config)).hidden_BTA, model(ids).hidden_BTA) < 1e-6


@torch.no_grad()
def test_rows_of_a_batch_do_not_mix(model):
    """Rows with two images, one and none (so with padding) give what each gives alone."""
    ids = text(rows=3)
    images = [picture(4, 1), picture(20, 2, rows=2), picture(9, 3, row=2)]
    together = model(ids, images)
    for row in range(3):
        alone = model(ids[row : row + 1], [image._replace(row=0) for image in images if image.row == row])
        assert difference(together.hidden_BTA[row : row + 1], alone.hidden_BTA) < 2e-5


@torch.no_grad()
def test_order_in_which_images_are_given_does_not_matter(model):
    images = [picture(20, 2), picture(4, 1)]
    assert torch.equal(model(text(), images).hidden_BTA, model(text(), images[::-1]).hidden_BTA)


@torch.no_grad()
def test_trace_names_every_step(model):
    trace = {}
    outputs = model(text(), [picture(4, 1)], trace=trace)
    both = [f"fusion.layers.{i}.{side}" for i in range(2) for side in ("text", "vision")]
    assert list(trace) == [
        "embed", "language.layers.0", "language.layers.1", "language.norm",
        "vision.stem", *(f"vision.cnn.{i}" for i in range(4)), "vision.proj", "vision.layers.0", "vision.layers.1", "vision.norm",
        *both, "fusion.norm", "jepa.layers.0", "jepa.norm", *(f"jepa.predict.{k}" for k in range(3)),
        "ar.in_proj", "ar.layers.0", "ar.layers.1", "ar.norm", "logits",
    ]  # fmt: skip
    assert torch.equal(trace["logits"], model.logits(outputs.hidden_BTA, outputs.chosen)) and torch.equal(
        trace["fusion.norm"], outputs.joint_BTJ
    )
    assert trace["logits"].abs().max() <= model.config.logit_softcap


@torch.no_grad()
def test_a_text_block_is_what_the_page_says(model):
    """Operation by operation in float64, head by head, without torch's fused attention."""
    block, config = model.language.layers[1], model.config
    x = torch.randn(1, 9, 64, generator=torch.Generator().manual_seed(1))
    weights = {name: tensor.double() for name, tensor in block.state_dict().items()}
    half = config.language.head_dim // 2

    def rms(v, weight):
        return v / (v.square().mean(-1, keepdim=True) + config.norm_eps).sqrt() * weight

    def rope(v, place):
        angle = place * config.rope_base ** (-2.0 * torch.arange(half, dtype=torch.float64) / (2 * half))
        low, high = v[:half], v[half:]
        return torch.cat((low * angle.cos() - high * angle.sin(), high * angle.cos() + low * angle.sin()))

    rows = x[0].double()
    h = rms(rows, weights["attn_norm"])
    heads = []
    for head in range(config.language.heads):
        key_head = head // (config.language.heads // config.language.kv_heads)
        of_query, of_key = slice(2 * half * head, 2 * half * (head + 1)), slice(2 * half * key_head, 2 * half * (key_head + 1))
        q = rms((h @ weights["wq"].T)[:, of_query], weights["q_norm"])
        k = rms((h @ weights["wk"].T)[:, of_key], weights["k_norm"])
        v = (h @ weights["wv"].T)[:, of_key]
        out = []
        for t in range(9):
            scores = torch.stack([rope(q[t], t) @ rope(k[s], s) for s in range(t + 1)]) / (2 * half) ** 0.5
            out.append(scores.softmax(0) @ v[: t + 1])
        heads.append(torch.stack(out))
    rows = rows + torch.cat(heads, dim=1) @ weights["wo"].T
    h = rms(rows, weights["mlp_norm"])
    gate = h @ weights["w_gate"].T
    rows = rows + (gate / (1 + (-gate).exp()) * (h @ weights["w_up"].T)) @ weights["w_down"].T
    assert difference(block(x, rope_tables(0, 9, 2 * half, config.rope_base))[0].double(), rows) < 1e-6


def test_trunk_gradient_scales_only_the_encoders_share(model):
    ids = text()
    grads = {}
    for factor in (1.0, 0.05):
        model.zero_grad()
        model.jepa.predict[2](model(ids, trunk_gradient=factor).context_BTJ).square().sum().backward()
        grads[factor] = (model.embed.weight.grad.clone(), model.jepa.norm.grad.clone())
    model.zero_grad()
    assert torch.equal(grads[1.0][1], grads[0.05][1])
    assert difference(grads[0.05][0], 0.05 * grads[1.0][0]) < 1e-5
