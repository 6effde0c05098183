"""Text to tokens on one thread: libcromwell beside tiktoken and the tokenizers library, with the same vocabulary on the same files.

    PYTHONPATH=build/site python -m benchmarks.tokenizer [--tokenizer TOKENIZER] [--bytes N] [--rounds N] [--json] [PATH...]

A PATH is a file or a folder; without one it is the standard library's .py files. A TOKENIZER is tokenizer.bin, its folder, or a model pack
(the default is the one that ships). Every text is first encoded by all, and different ids are an error. Then the programs take turns;
each turn is passes over all files for a quarter of a second, one at least, and the best pass counts, in processor time.
Everyone gets what it likes best: libcromwell bytes, the others strings made beforehand, tokenizers the call that computes no offsets.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cromwell import binding
from training import tokenizer as training

TURN_S = 0.25
OURS = "libcromwell"


def sources(paths: Sequence[str], limit: int) -> Iterator[bytes]:
    """Contents of the files, as far as they are UTF-8 (tiktoken reads nothing else), until `limit` bytes are reached."""
    stdlib = sysconfig.get_path("stdlib")
    found = training.files(paths or [stdlib])
    if not paths:
        found = [file for file in found if file.suffix == ".py" and "site-packages" not in file.parts]
    total = 0
    for file in found:
        data = file.read_bytes()
        if total >= limit:
            return
        if data and training.is_utf8(data):
            total += len(data)
            yield data


Passes = dict[str, tuple[Callable[[Any], Any], list[Any], Callable[[Any], list[int]]]]


def encoders(vocabulary: training.Vocabulary, texts: Sequence[bytes]) -> Passes:
    """By name: what encodes one text, the texts as it takes them, and the ids in what it returns."""
    native = binding.Tokenizer(training.to_section(vocabulary))
    found: Passes = {OURS: (native.encode_array, list(texts), list)}
    try:
        import tiktoken
    except ImportError:
        print("tiktoken is not installed and is left out", file=sys.stderr)
    else:
        pattern = training.PATTERN.replace(r"\x{80}-\x{ff}", r"\x{80}-\x{10ffff}")
        first = vocabulary.first_byte
        ranks = {token: rank for rank, token in enumerate(vocabulary.token_bytes()[first:])}
        encoding = tiktoken.Encoding("cromwell", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
        found["tiktoken"] = (encoding.encode_ordinary, [text.decode() for text in texts], lambda ranks: [rank + first for rank in ranks])
    library = training.library_tokenizer(vocabulary)
    one_by_one = [[text.decode("latin-1")] for text in texts]
    found["tokenizers"] = (library.encode_batch_fast, one_by_one, lambda encodings: encodings[0].ids)
    return found


def differences(passes: Passes) -> tuple[int, int]:
    """Texts that are not encoded alike by all, and ids of all texts together."""
    different = count = 0
    for number in range(len(passes[OURS][1])):
        ids = [result(encode(inputs[number])) for encode, inputs, result in passes.values()]
        different += any(other != ids[0] for other in ids)
        count += len(ids[0])
    return different, count


def best_passes(passes: Passes, rounds: int) -> dict[str, float]:
    """Processor seconds of each one's best pass over all texts."""
    best = dict.fromkeys(passes, float("inf"))
    for _ in range(rounds):
        for name, (encode, inputs, _result) in passes.items():
            turn = time.thread_time()
            while time.thread_time() - turn < TURN_S:
                started = time.thread_time()
                for text in inputs:
                    encode(text)
                best[name] = min(best[name], time.thread_time() - started)
    return best


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", default=binding.default_model_path(), help="tokenizer.bin, its folder, or a model pack")
    parser.add_argument("--bytes", type=int, default=4_000_000, metavar="N", help="stop reading after N bytes")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("paths", nargs="*", metavar="PATH")
    arguments = parser.parse_args(argv)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        vocabulary = training.load(arguments.tokenizer).vocabulary
        texts = list(sources(arguments.paths, arguments.bytes))
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not texts:
        print(f"error: no text in {' '.join(arguments.paths)}", file=sys.stderr)
        return 2
    size = sum(map(len, texts))
    passes = encoders(vocabulary, texts)
    different, count = differences(passes)
    if different:
        print(f"error: {different} of {len(texts)} texts are not encoded alike", file=sys.stderr)
        return 1
    speeds = {name: size / seconds / 1e6 for name, seconds in best_passes(passes, arguments.rounds).items()}
    rows = {name: {"mb_per_s": speed, "ours_is_faster": speeds[OURS] / speed} for name, speed in speeds.items()}
    if arguments.json:
        print(json.dumps({"version": 1, "files": len(texts), "bytes": size, "tokens": count, "vocabulary": vocabulary.size,
                          "rounds": arguments.rounds, "rows": rows}))  # fmt: skip
    else:
        print(f"{len(texts)} files, {size} bytes, {count} tokens of a vocabulary of {vocabulary.size}; all encode alike\n")
        print(f"{'one thread':16}{'MB/s':>10}{'ours is faster':>18}")
        for name, row in rows.items():
            print(f"{name:16}{row['mb_per_s']:10.1f}{row['ours_is_faster']:17.1f}x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
