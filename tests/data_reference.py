"""What the preparation computes over many files at once, said again for one file in the plainest way: the tests compare the two."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from random import Random

from cromwell.contract import prompt
from training.data import dedup, pipeline_documents, quality
from training.data import quality_filters as limits
from training.data.pipeline_documents import MIN_TOKENS
from training.data.pipeline_encoder import Encoder

WORD = re.compile(rb"[A-Za-z0-9_\x80-\xff]+")
_MASK = (1 << 64) - 1
_NONE = 1 << 64  # of a bin without a hash


def pieces(text: bytes, budget: int, encode: Encoder) -> list[bytes]:
    """Consecutive pieces of a text of at most `budget` tokens: as many top-level blocks as fit, halves of what does not fit."""
    if len(encode(text)) <= budget:
        return [text]
    lines, blocks = text.splitlines(keepends=True), (b"@", b"def ", b"class ", b"async def ", b"if __name__")
    cuts, decorated = {0}, lines[0].startswith(b"@")
    for number, line in enumerate(lines):
        if number and line.startswith(blocks):
            first = number
            while first and lines[first - 1].startswith(b"#"):
                first -= 1
            if not decorated:
                cuts.add(sum(map(len, lines[:first])))
            decorated = line.startswith(b"@")
    places, found = [*sorted(cuts), len(text)], []
    while len(places) > 1:
        fitting = [place for place in places[1:] if len(encode(text[places[0] : place])) <= budget] or places[1:2]
        block = text[places[0] : fitting[-1]]
        found += halves(block, len(encode(block)), budget, encode)
        places = places[places.index(fitting[-1]) :]
    return found


def halves(text: bytes, tokens: float, budget: int, encode: Encoder) -> list[bytes]:
    """Pieces of a block of about so many tokens, cut in halves until each fits."""
    if tokens <= 1.1 * budget and len(encode(text)) <= budget:
        return [text]
    at = pipeline_documents.half(text)
    return [piece for part in (text[:at], text[at:]) for piece in halves(part, tokens * len(part) / len(text), budget, encode)]


def documents(file: pipeline_documents.File, max_tokens: int, fill_share: float, encode: Encoder) -> list[tuple[list[int], str]]:
    """(ids, kind) of a file's documents, each text of a document encoded on its own."""
    rng: Random = file.rng
    alone: Callable[[bytes], list[int]] = lambda text: encode(text).tolist()  # noqa: E731
    found = []
    text = file.data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    for part in pipeline_documents.parts_between(text, file.cuts):
        part = part.lstrip(b"\n")
        for piece in pieces(part, max_tokens - 48, encode):
            if len(encode(piece)) < MIN_TOKENS:
                continue
            names = file.path.split("/")
            head = "/".join(names[-2:] if rng.random() < 0.25 else names[-1:]).encode() + b"\n"
            if rng.random() < fill_share:
                start, end = pipeline_documents.hole(piece, rng)
                shown = prompt.fill_prompt(piece[:start], piece[end:], head[:-1])
                ids, kind = prompt.encode([*shown, piece[start:end], "<EOS>"], alone), "fill"
            else:
                ids, kind = prompt.encode(["<FILE>", head + piece, "</FILE>"], alone), "plain"
            if len(ids) <= max_tokens:
                found.append((ids, kind))
    return found


def reject_reason(data: bytes) -> str:
    """Why a file is not used, or ""; every limit in its own words."""
    size, lines, counts = len(data), data.split(b"\n"), Counter(data)
    if not limits.MIN_BYTES <= size <= limits.MAX_BYTES:
        return "size"
    if counts[0]:
        return "binary"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "not UTF-8"
    if limits.declared_encoding(data) not in ("utf-8", "utf8", "utf-8-sig", "ascii", "us-ascii"):
        return "declared encoding"
    if re.search(rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)", data):
        return "control characters"
    if limits._GENERATED.search(data[: limits.GENERATED_HEAD].lower()):
        return "generated"
    if limits._LICENCE.search(data[: limits.LICENCE_HEAD]):
        return "licence"
    if max(map(len, lines)) > limits.MAX_LINE_BYTES:
        return "long line"
    blanks = sum(counts[byte] for byte in b"\t\n\v\f\r ")
    if size > limits.MAX_MEAN_LINE_BYTES * max(1, sum(len(line) > 1 for line in lines)) or blanks < limits.MIN_BLANK_SHARE * size:
        return "minified"
    if sum(counts[byte] for byte in b"0123456789") > limits.MAX_DIGIT_SHARE * size:
        return "mostly numbers"
    return "encoded data" if limits._BLOB.search(data) else ""


def _ramp(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))


def measure(data: bytes, path: str) -> quality.Quality:
    """The features and score of a file; its variety by whole lines, where the preparation looks at 24 bytes of each."""
    size, counts = len(data), Counter(data)
    lines = data.removesuffix(b"\n").split(b"\n")
    docstrings = min(1.0, sum(len(part) for quote in (b'"""', b"'''") for part in data.split(quote)[1::2]) / size)
    comments = (data.count(b" #") + data.count(b"\n#")) / len(lines)
    names = [len(word) for word in WORD.findall(data) if word[0] > 57]
    name_bytes = sum(names) / max(1, len(names))
    told = [line for line in lines if len(line) >= 5]
    variety = len(set(told)) / max(1, len(told))
    entropy = -sum(count / size * math.log2(count / size) for count in counts.values())
    letters = sum(counts[byte] for byte in counts if byte >= 128 or chr(byte).isalpha())
    letters /= max(1, size - sum(counts[byte] for byte in b"\t\n\v\f\r "))
    parts = {
        "docstrings": _ramp(docstrings, 0.0, 0.10),
        "comments": _ramp(comments, 0.0, 0.08),
        "names": _ramp(name_bytes, 2.0, 5.0),
        "variety": _ramp(variety, 0.3, 0.8),
        "entropy": _ramp(entropy, 3.2, 4.2) * (1 - _ramp(entropy, 5.2, 6.2)),
        "letters": _ramp(letters, 0.35, 0.70),
    }
    test, vendored = bool(quality._TEST.search(path)), bool(quality._VENDORED.search(path))
    score = sum(quality.WEIGHTS[name] * part for name, part in parts.items())
    score *= (quality.TEST_FACTOR if test else 1.0) * (quality.VENDORED_FACTOR if vendored else 1.0)
    figures = (score, docstrings, comments, name_bytes, variety, entropy, letters)
    return quality.Quality(*(round(figure, 3) for figure in figures), test, vendored)


def _mix(value: int) -> int:
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _MASK
    return value ^ value >> 31


def shingles(words: list[int]) -> list[int]:
    """The hashes of every five words, or of all when there are fewer."""
    places = dedup._PLACE.tolist()
    runs = [words[at : at + dedup.SHINGLE] for at in range(max(1, len(words) - dedup.SHINGLE + 1))] if words else []
    return [_mix(sum(word * place for word, place in zip(run, places, strict=False)) & _MASK) for run in runs]


def signature(hashes: list[int]) -> list[int]:
    """The bins of a set of shingles, round after round until none is empty."""
    bins, turn = [_NONE] * dedup.BINS, 0
    while _NONE in bins:
        own = [_NONE] * dedup.BINS
        for value in (_mix(one + turn * int(dedup._STEP) & _MASK) for one in hashes):
            place = (value >> 32) * dedup.BINS >> 32
            own[place] = min(own[place], value)
        bins = [new if old == _NONE else old for old, new in zip(bins, own, strict=True)]
        turn += 1
    return bins


def keys(words: list[int]) -> list[int]:
    """A text's keys: of its buckets, 0 where it has no words, and of all its words in order."""
    hashes, size, step = shingles(words), dedup.BUCKET_HASHES, int(dedup._STEP)
    bins = list(map(_mix, signature(hashes))) if hashes else []
    factors = dedup._IN_BUCKET.tolist()
    buckets = [bins[at : at + size] for at in range(0, len(bins), size)]
    found = [_mix(sum(one * factor for one, factor in zip(own, factors, strict=True)) & _MASK) for own in buckets] or [0] * dedup.BUCKETS
    whole = sum(word * pow(step, place, 1 << 64) for place, word in enumerate(words, 1)) + len(words)
    return [*found, _mix(whole & _MASK)]
