"""The benchmark suite: bytes and multiply-adds against numbers worked out by hand, the table, and what its programs print."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("tokenizers")  # random packs carry a tokenizer section

from benchmarks import costs, engine, figures, measure, plot, random_pack  # noqa: E402
from cromwell import binding  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
TINY = {
    "name": "tiny", "vocab_size": 320, "max_positions": 256, "norm_eps": 1e-6, "rope_base": 10000.0,
    "tie_embeddings": False, "qk_norm": False, "token_shift": True, "places": 0, "aligned": False, "logit_softcap": 0.0,
    "vision": {"stem_channels": 8, "cnn_channels": 16, "expansion": 2, "hidden": 32, "mlp": 64, "layers": 2, "heads": 2, "window": 16,
               "global_layers": [1], "shuffle": 4, "max_tiles": 1},
    "language": {"hidden": 64, "mlp": 96, "layers": 2, "heads": 4, "kv_heads": 1},
    "fusion": {"hidden": 32, "mlp": 48, "layers": 3, "heads": 2},
    "jepa": {"hidden": 32, "mlp": 64, "layers": 1, "heads": 2, "kv_heads": 2, "steps": 2},
    "ar": {"hidden": 64, "mlp": 80, "layers": 1, "heads": 2, "kv_heads": 1},
}  # fmt: skip
# Weights of the products that a text token passes: outputs x inputs, read off docs/model.md.
LANGUAGE = 2 * (2 * 64 * 64 + 2 * 16 * 64 + 3 * 96 * 64)
FUSION = 32 * 64 + 3 * (3 * 48 * 32)
JEPA = 4 * 32 * 32 + 3 * 64 * 32 + 2 * 32 * 32  # the layer, and the first of two predictors
AR = 64 * 32 + 2 * 64 * 64 + 2 * 32 * 64 + 3 * 80 * 64
HEAD = 320 * 64
VECTORS = (2 * 2 * 64 + 64) + (3 * 32 + 32) + (2 * 64 + 64)  # norms of language, fusion and AR
GUIDE_VECTORS = 2 * 32 + 32 + 32  # norms of JEPA and the gate
EMBEDDING_ROWS = 2 * 64  # the token and, with token_shift, the one before


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tiny model's packs, each of which libcromwell opens."""
    found = {}
    for quant in ("f32", "q8"):
        found[quant] = tmp_path_factory.mktemp("bench") / f"tiny-{quant}.cwm"
        random_pack.write(TINY, quant, found[quant])
        with binding.Model(found[quant]) as model:
            assert model.info.vocab_size == model.tokenizer.size == 320
    return found


@pytest.fixture(scope="module")
def packs(paths: dict[str, Path]) -> dict[str, costs.Pack]:
    """What the tables of the tiny model's packs say."""
    return {quant: costs.read_pack(path) for quant, path in paths.items()}


def test_bytes_of_a_token(packs: dict[str, costs.Pack]) -> None:
    """In float32 every element is 4 bytes, and all matrices of the tiny model fill their panels."""
    pack = packs["f32"]
    plain = LANGUAGE + FUSION + AR + HEAD + VECTORS + EMBEDDING_ROWS
    guided = plain + JEPA + GUIDE_VECTORS
    assert not pack.quantised
    assert costs.token_bytes(pack, 0, guidance=False) == 4 * plain
    assert costs.token_bytes(pack, 0, guidance=True) == 4 * guided
    position = 4 * (2 * 2 * 1 * 16 + 2 * 1 * 1 * 32)  # keys and values of language and AR
    assert costs.token_bytes(pack, 10, guidance=False) == 4 * plain + 10 * position
    assert costs.token_bytes(pack, 10, guidance=True) == 4 * guided + 10 * (position + 4 * 2 * 2 * 16)
    assert costs.token_bytes(pack, 10, False, sequences=8) == 4 * (plain + 7 * EMBEDDING_ROWS) + 80 * position


def test_bytes_of_a_token_in_int8(packs: dict[str, costs.Pack]) -> None:
    """A quantised token costs what its pack stores, and its cache int8 rows of heads padded to 32, each with a scale."""
    pack = packs["q8"]
    assert pack.quantised
    assert costs.cache_bytes(pack, guidance=False) == 2 * 2 * (32 + 4) + 2 * (32 + 4)
    weights = LANGUAGE + FUSION + AR + HEAD
    stored = sum(tensor.size_bytes for tensor in costs.text_path(pack, guidance=False).values())
    assert weights < stored < 4 * weights  # small matrices may stay float32
    assert costs.token_bytes(pack, 0, guidance=False) == stored + 2 * pack.tensors["embed.weight"].size_bytes // 320


def test_multiply_adds_of_a_text(packs: dict[str, costs.Pack]) -> None:
    """Products for every token, the head once; token t attends to t + 1 positions, twice for every element of the layer's width."""
    products = LANGUAGE + FUSION + AR
    assert costs.text_macs(packs["q8"], 0, 1, guidance=False) == products + HEAD + 2 * (2 * 64 + 64) * 1
    assert costs.text_macs(packs["q8"], 5, 3, guidance=False) == 3 * products + HEAD + 2 * (2 * 64 + 64) * (6 + 7 + 8)
    assert costs.text_macs(packs["f32"], 0, 4, guidance=True) == 4 * (products + JEPA) + HEAD + 2 * (2 * 64 + 32 + 64) * 10


def test_multiply_adds_of_a_tile() -> None:
    stem = 64 * 64 * 8 * 48
    first = 64 * 64 * (8 * 16 + 9 * 16 + 16 * 8) + 2 * 8 * 16
    second = 64 * 64 * 8 * 16 + 32 * 32 * (9 * 16 + 16 * 16) + 2 * 8 * 16
    others = 2 * (32 * 32 * (16 * 32 + 9 * 32 + 32 * 16) + 2 * 8 * 32)
    layer = 1024 * (4 * 32 * 32 + 2 * 32 * 64)
    attention = 2 * 1024 * 32 * (16 * 16 + 1024)
    assert costs.tile_macs(TINY) == stem + first + second + others + 1024 * 16 * 32 + 2 * layer + attention


@pytest.mark.parametrize(("name", "joint"), [("benchmarks/shape-a.json", (1, 64, 64)), ("models/base.json", (6, 512, 2048))])
def test_weights_of_shape_a(name: str, joint: tuple[int, int, int]) -> None:
    """Shape A and base have the same 18 layers and head; without guidance only the fusion blocks and two projections are beside them."""
    layers, hidden, mlp = joint
    decoder = 18 * (2 * 768 * 768 + 2 * 192 * 768 + 3 * 3072 * 768) + 50_000 * 768
    config = json.loads((ROOT / name).read_text())
    tensors = {tensor.name: costs.Stored(tensor.shape, 0) for tensor in random_pack.export.tensors(config)}
    used = costs.text_path(costs.Pack(config, tensors), guidance=False).values()
    weights = sum(tensor.shape[0] * tensor.shape[1] for tensor in used if len(tensor.shape) == 2)
    assert weights == decoder + 2 * hidden * 768 + layers * 3 * hidden * mlp


def test_figures_of_a_pack(paths: dict[str, Path], packs: dict[str, costs.Pack], tmp_path: Path) -> None:
    """Every part gives its figures, and their rates are the values times what a token costs."""
    plan = measure.Plan(threads=2, contexts=(64, 128, 4096), batches=(2,), counts=(1, 2), budget_s=0.0, guidance=True)
    said: list[str] = []
    bench = measure.Bench("tiny", paths["q8"], engine.ALL, plan, 1 << 20, said.append)
    found = {(figure.title, figure.threads): figure for figure in bench.figures(tmp_path)}
    titles = {title for title, _ in found}
    batches = {"batch x2"} if hasattr(binding, "feed_each") else set()
    assert titles == batches | {
        "open", "decode", "prefill 64", "prefill 128", "decode at 64", "decode at 128", "restore 128", "vision encoder, a tile",
        "encoder and fusion, a tile", "peak memory at 128", "of it the interpreter at 128",
    }  # fmt: skip
    assert all(figure.value > 0 for figure in found.values())
    decode, prefill = found["decode at 128", 2], found["prefill 64", 1]
    assert decode.rate == pytest.approx(1e-9 * decode.value * costs.token_bytes(packs["q8"], 144, guidance=True))
    assert decode.limits == (f"read_{bench.read_set}",)
    assert prefill.rate == pytest.approx(2e-9 * prefill.value / 64 * costs.text_macs(packs["q8"], 0, 64, guidance=True))
    assert prefill.limits == figures.INT8_LIMITS
    assert found["peak memory at 128", 2].value > found["of it the interpreter at 128", 2].value


def limits() -> figures.Limits:
    found = figures.Limits()
    entry = {"unit": "GB/s", "values": [10.0, 20.0]}
    slow = {"unit": "GB/s", "values": [11.0, None]}
    for values in (entry, slow):
        found.add({"version": 1, "threads": [1, 2], "l3_bytes": 1 << 20, "limits": {"dram_read": values}})
    return found


def test_table() -> None:
    """The largest limit of several runs counts, the best peer stands beside the figure, a peer without a figure stands alone."""
    shown = [
        figures.Figure("m-q8", "decode", 50.0, "tok/s", 2, tokens=128, rate=12.0, limits=("dram_read",)),
        figures.Figure("m-q8", "decode", 40.0, "tok/s", 1, tokens=128, rate=5.5, limits=("dram_read",), foreign=0.3),
        figures.Figure("m-q8", "open", 2.0, "ms"),
        figures.Figure("m-q8", "product", 90.0, "GOP/s", rate=90.0, own_limit=("arithmetic", 100.0)),
    ]
    peers = [
        figures.Peer("slow", "m-q8", "decode", 20.0, "tok/s", 2, tokens=128),
        figures.Peer("fast", "m-q8", "decode", 40.0, "tok/s", 2, tokens=100),
        figures.Peer("deep", "m-q8", "decode", 10.0, "tok/s", 2, context=4096, tokens=32),
    ]
    lines = figures.table(shown, limits(), peers).split("\n")
    cells = [line.split() for line in lines]
    assert cells[3] == "decode 2 50 tok/s 12 20 GB/s dram_read 60% fast 40 1.25x".split()
    assert cells[4] == "slow 20 2.50x".split()
    assert cells[5] == "decode 1 ~40 tok/s 5.5 11 GB/s dram_read 50%".split()
    assert cells[6] == "open 1 2 ms".split()
    assert cells[7] == "product 1 90 GOP/s 90 100 GOP/s arithmetic 90%".split()
    assert cells[-1] == "m-q8 decode 32 at 4096 2 10 tok/s deep".split()


def test_peer_rates() -> None:
    """llama-bench's tests: a prompt, a generation, one at a depth, one after a prompt; the mixed test has no counterpart."""
    common = {"model_filename": "x/shape-a-q8.gguf", "n_threads": 2, "samples_ts": [9.0, 11.0]}
    rows = [
        {"n_prompt": 512, "n_gen": 0, "n_depth": 0},
        {"n_prompt": 0, "n_gen": 128, "n_depth": 0},
        {"n_prompt": 0, "n_gen": 32, "n_depth": 4096},
        {"n_prompt": 4096, "n_gen": 32, "test": "tg32@pp4096"},
        {"n_prompt": 512, "n_gen": 128, "test": "pp512+tg128"},
    ]
    found = engine.peer_rates(json.dumps([common | row for row in rows]), "bench")
    assert [(peer.kind, peer.context, peer.tokens) for peer in found] == [
        ("prefill", 0, 512), ("decode", 0, 128), ("decode", 4096, 32), ("decode", 4096, 32),
    ]  # fmt: skip
    assert {(peer.subject, peer.value, peer.threads) for peer in found} == {("shape-a-q8", 11.0, 2)}


@pytest.mark.parametrize("command", ["no-such-program-anywhere", "false", "echo words", "echo 'x=[{}]'"])
def test_peer_that_fails(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert engine.run_peer(f"theirs={command}") == []
    assert "theirs: left out" in capsys.readouterr().err


def test_tokenizer_rates() -> None:
    rows = {"libcromwell": {"mb_per_s": 60.0}, "tiktoken": {"mb_per_s": 15.0}}
    (ours,), (theirs,) = engine.tokenizer_rates({"vocabulary": 16384, "rows": rows})
    assert figures.peers_of(ours, [theirs]) == [theirs]
    assert figures.advantage(ours, theirs) == 4.0


def test_plot_points() -> None:
    """A panel holds the threads and the context still, unless it is laid out by them."""
    row = {"kind": "decode", "threads": 2, "context": 0, "batch": 1, "tokens": 128, "value": 5.0}
    changes = ({"threads": 1, "value": 3.0}, {"context": 512, "value": 4.0}, {"kind": "batch", "batch": 8, "value": 30.0})
    rows = [row, *(row | change for change in changes)]
    by_size = {panel.size: panel.points(rows, 2) for panel in plot.PANELS}
    assert by_size == {"context": [(0, 5.0), (512, 4.0)], "tokens": [], "batch": [(1, 5.0), (8, 30.0)], "threads": [(1, 3.0), (2, 5.0)]}
    assert plot.looks(["base-q8", "base-q4", "nano"]) == {
        "base-q8": (plot.COLOURS[0], "-"), "base-q4": (plot.COLOURS[0], "--"), "nano": (plot.COLOURS[1], "-"),
    }  # fmt: skip


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_limits_program(tmp_path: Path) -> None:
    """bench_limits runs on this machine, and what it prints is what the suite reads."""
    program = tmp_path / "bench_limits"
    source = ROOT / "libcromwell" / "tests" / "bench_limits.c"
    subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", source, "-o", program, "-pthread"], check=True)
    command = [program, "--threads", "1", "--rounds", "1", "--memory", "16000000", "--set", "4000000"]
    found = figures.Limits()
    found.add(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))
    for name in ("l2_read", "dram_read", "memcpy", "read_4000000"):
        best = found.best([name], 1)
        assert best is not None and best[1] > 0, name
    assert found.best(["dram_read"], 2) is None
    for wrong in (["--threads", "0"], ["--rounds", "0"], ["--set"], ["--fast", "1"]):
        assert subprocess.run([program, *wrong], stderr=subprocess.DEVNULL).returncode == 2
