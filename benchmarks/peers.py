"""Libraries from the package index on the engine's work, each figure the best of several rounds; prints JSON.

    OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2 python -m benchmarks.peers --threads 2 [--budget 2] [--config benchmarks/shape-a.json]

- products of float32 matrices in numpy (OpenBLAS) and torch (MKL);
- a plain decoder of random weights with the sizes of the configuration's language and AR layers, its vocabulary and head: in torch as
  float32, and in onnxruntime as float32, and with 8 and 4 bits a weight (MatMulNBits with int8 arithmetic, groups of 32), on its
  fused operators (GroupQueryAttention, SimplifiedLayerNormalization). Prefill of 512 tokens, and decoding after 64.

A library that is not installed is left out, and so named on standard error.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SQUARES, OBLONG = (512, 1024, 2048, 4096), (4096, 768, 3072)
PREFILL, CONTEXT, BLOCK = 512, 64, 32  # tokens, tokens, weights that share a scale


class Decoder(NamedTuple):
    """Sizes of a decoder."""

    layers: int
    hidden: int
    mlp: int
    heads: int
    kv_heads: int
    vocab: int

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    @classmethod
    def of(cls, config: dict[str, Any]) -> Decoder:
        """The language and AR layers as one stack."""
        language = config["language"]
        sizes = (language[key] for key in ("hidden", "mlp", "heads", "kv_heads"))
        return cls(language["layers"] + config["ar"]["layers"], *sizes, config["vocab_size"])


def best(run: Callable[[], object], budget_s: float) -> float:
    """The least seconds of a round: one to warm up, two more at least, then more while the budget lasts."""
    run()
    started, least, count = time.perf_counter(), math.inf, 0
    while count < 2 or (count < 60 and time.perf_counter() - started < budget_s):
        start = time.perf_counter()
        run()
        least, count = min(least, time.perf_counter() - start), count + 1
    return least


def row(name: str, quant: str, tokens: int, value: float) -> dict[str, Any]:
    """A rate of a library in tokens a second: of a prompt, or of one token at a time."""
    return {"name": name, "format": quant, "kind": "prefill" if tokens > 1 else "decode", "tokens": tokens, "value": value}


def gemm_rows(threads: int, budget_s: float) -> Iterator[dict[str, Any]]:
    """Figures of products [m, k] x [k, n] in GFLOP/s, numpy and torch in turn."""
    import torch

    torch.set_num_threads(threads)
    random = np.random.default_rng(1)
    for m, k, n in (*((size, size, size) for size in SQUARES), OBLONG):
        a, b = (random.standard_normal(shape, np.float32) for shape in ((m, k), (k, n)))
        left, right = torch.from_numpy(a), torch.from_numpy(b)
        for name, run in (("numpy", lambda a=a, b=b: a @ b), ("torch", lambda a=left, b=right: a @ b)):
            value = 2e-9 * m * k * n / best(run, budget_s / 4)
            yield {"gemm": f"{m}x{k}x{n}", "name": name, "value": value}


def torch_rows(sizes: Decoder, threads: int, budget_s: float) -> Iterator[dict[str, Any]]:
    """The decoder in eager torch, float32."""
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    torch.manual_seed(1)
    H, M, D, kv = sizes.hidden, sizes.mlp, sizes.head_dim, sizes.kv_heads * sizes.head_dim
    shapes = {"q": (H, H), "k": (kv, H), "v": (kv, H), "o": (H, H), "gate": (M, H), "up": (M, H), "down": (H, M)}
    layers = [{name: torch.randn(shape) * 0.02 for name, shape in shapes.items()} for _ in range(sizes.layers)]
    head, norm = torch.randn(sizes.vocab, H) * 0.02, torch.ones(H)
    angles = torch.arange(PREFILL + CONTEXT).unsqueeze(1) * 10000.0 ** (-torch.arange(0, D, 2) / D)
    cosine, sine = angles.cos(), angles.sin()

    def rotate(x: torch.Tensor, at: int) -> torch.Tensor:
        """[heads, T, D] from position `at` on."""
        c, s = cosine[at : at + x.shape[1]], sine[at : at + x.shape[1]]
        low, high = x.chunk(2, dim=-1)
        return torch.cat((low * c - high * s, high * c + low * s), dim=-1)

    def forward(x: torch.Tensor, at: int, cache: list[Any]) -> torch.Tensor:
        """Logits of the last of x [T, H]; keys and values go into `cache`, a pair [kv_heads, positions, D] a layer."""
        for w, (keys, values) in zip(layers, cache, strict=True):
            h = F.rms_norm(x, (H,), norm)
            q, k, v = (F.linear(h, w[name]).view(len(x), -1, D).transpose(0, 1) for name in "qkv")
            keys[:, at : at + len(x)], values[:, at : at + len(x)] = rotate(k, at), v
            end = at + len(x)
            mixed = F.scaled_dot_product_attention(
                rotate(q, at)[None], keys[None, :, :end], values[None, :, :end], is_causal=len(x) > 1, enable_gqa=True
            )
            x = x + F.linear(mixed[0].transpose(0, 1).reshape(len(x), H), w["o"])
            h = F.rms_norm(x, (H,), norm)
            x = x + F.linear(F.silu(F.linear(h, w["gate"])) * F.linear(h, w["up"]), w["down"])
        return F.linear(F.rms_norm(x[-1:], (H,), norm), head)

    cache = [tuple(torch.zeros(sizes.kv_heads, PREFILL + CONTEXT, D) for _ in "kv") for _ in layers]
    prompt = torch.randn(PREFILL, H)
    yield row("torch", "f32", PREFILL, PREFILL / best(lambda: forward(prompt, 0, cache), budget_s))
    yield row("torch", "f32", 1, 1 / best(lambda: forward(prompt[:1], CONTEXT, cache), budget_s))


def onnx_decoder(sizes: Decoder, bits: int) -> bytes:
    """The decoder as an ONNX model: x [1, T, H] and the cache of each layer in, logits of the last position out; 32 bits are float32."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(1)
    H, D = sizes.hidden, sizes.head_dim
    nodes, constants, inputs, outputs = [], [], [], []

    def constant(name: str, values: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(values, name))
        return name

    def node(kind: str, names: list[str], count: int = 1, domain: str = "", **attributes: Any) -> list[str]:
        made = [f"{kind}.{len(nodes)}.{i}" for i in range(count)]
        nodes.append(helper.make_node(kind, names, made, domain=domain, **attributes))
        return made

    def product(x: str, name: str, n: int, k: int) -> str:
        if bits == 32:
            return node("MatMul", [x, constant(name, random.standard_normal((k, n), np.float32) * np.float32(0.02))])[0]
        packed = random.integers(0, 256, (n, k // BLOCK, BLOCK * bits // 8), np.uint8)
        scales = np.full(n * (k // BLOCK), 0.04 / (1 << bits), np.float32)
        names = [x, constant(name, packed), constant(name + ".scales", scales)]
        return node("MatMulNBits", names, domain="com.microsoft", K=k, N=n, bits=bits, block_size=BLOCK, accuracy_level=4)[0]

    def norm(x: str) -> str:
        return node("SimplifiedLayerNormalization", [x, "ones"], axis=-1, epsilon=1e-6)[0]

    def cache(name: str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, sizes.kv_heads, None, D])

    constant("ones", np.ones(H, np.float32))
    angles = np.arange(PREFILL + CONTEXT)[:, None] * 10000.0 ** (-np.arange(0, D, 2) / D)
    constant("cosine", np.cos(angles).astype(np.float32)), constant("sine", np.sin(angles).astype(np.float32))
    x = "x"
    for layer in range(sizes.layers):
        h, kv = norm(x), sizes.kv_heads * D
        q, k, v = (product(h, f"{layer}.{name}", n, H) for name, n in (("q", H), ("k", kv), ("v", kv)))
        past = [f"{layer}.past.{name}" for name in ("key", "value")]
        mixed, *present = node(
            "GroupQueryAttention", [q, k, v, *past, "seqlens_k", "total_length", "cosine", "sine"], 3, "com.microsoft",
            num_heads=sizes.heads, kv_num_heads=sizes.kv_heads, do_rotary=1,
        )  # fmt: skip
        inputs += [cache(name) for name in past]
        outputs += [cache(name) for name in present]
        x = node("Add", [x, product(mixed, f"{layer}.o", H, H)])[0]
        h = norm(x)
        gate, up = (product(h, f"{layer}.{name}", sizes.mlp, H) for name in ("gate", "up"))
        silu = node("Mul", [gate, node("Sigmoid", [gate])[0]])[0]
        x = node("Add", [x, product(node("Mul", [silu, up])[0], f"{layer}.down", H, sizes.mlp)])[0]
    last = node("Slice", [x, constant("from", np.array([-1])), constant("to", np.array([1 << 30])), constant("axis", np.array([1]))])[0]
    logits = product(norm(last), "head", sizes.vocab, H)
    inputs += [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, None, H]),
        helper.make_tensor_value_info("seqlens_k", TensorProto.INT32, [1]),
        helper.make_tensor_value_info("total_length", TensorProto.INT32, []),
    ]
    outputs.append(helper.make_tensor_value_info(logits, TensorProto.FLOAT, None))
    graph = helper.make_graph(nodes, "decoder", inputs, outputs, constants)
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=versions, ir_version=9).SerializeToString()


def onnx_rows(sizes: Decoder, threads: int, budget_s: float) -> Iterator[dict[str, Any]]:
    """The decoder in onnxruntime."""
    import onnxruntime

    for bits, name in ((8, "q8"), (4, "q4"), (32, "f32")):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        session = onnxruntime.InferenceSession(onnx_decoder(sizes, bits), options, providers=["CPUExecutionProvider"])

        def rate(tokens: int, past: int, session: Any = session) -> float:
            empty = np.zeros((1, sizes.kv_heads, past, sizes.head_dim), np.float32)
            values = {entry.name: empty for entry in session.get_inputs() if ".past." in entry.name}
            values["x"] = np.random.default_rng(1).standard_normal((1, tokens, sizes.hidden), np.float32)
            values["seqlens_k"], values["total_length"] = np.array([past + tokens - 1], np.int32), np.array(past + tokens, np.int32)
            logits = session.get_outputs()[-1].name
            return tokens / best(lambda: session.run([logits], values), budget_s)

        yield row("onnxruntime", name, PREFILL, rate(PREFILL, 0))
        yield row("onnxruntime", name, 1, rate(1, CONTEXT))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--budget", type=float, default=2.0, metavar="SECONDS", help="for each figure")
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("shape-a.json"))
    arguments = parser.parse_args()
    sizes = Decoder.of(json.loads(arguments.config.read_text()))
    rows: list[dict[str, Any]] = []
    parts = {
        "torch GEMM": lambda: gemm_rows(arguments.threads, arguments.budget),
        "torch": lambda: torch_rows(sizes, arguments.threads, arguments.budget),
        "onnxruntime": lambda: onnx_rows(sizes, arguments.threads, arguments.budget),
    }
    for name, part in parts.items():
        try:
            rows += part()
        except ImportError as error:
            print(f"{name}: left out, {error}", file=sys.stderr)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
