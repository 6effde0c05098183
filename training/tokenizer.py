"""The tokenizer: byte-level BPE over code-aware pieces (docs/tokenizer.md).

    python -m training.tokenizer train --out DIR --vocab 16384 PATH...     writes DIR/tokenizer.json and DIR/tokenizer.bin
    python -m training.tokenizer measure TOKENIZER PATH...                 bytes per token on the files under PATH
    python -m training.tokenizer compare TOKENIZER --bytes 50000000 PATH...   libcromwell against the tokenizers library

A PATH is a file or a folder (its .py, .md, .rst and .txt files); a TOKENIZER is tokenizer.bin, its folder, or a model pack.
`tokenizer.bin` is the section that a model pack carries and libcromwell reads; `tokenizer.json` is the same tokenizer for the
`tokenizers` library, where a byte is the character of the same number (latin-1), so that any bytes can be encoded.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import json
import os
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from cromwell.contract.prompt import SPECIAL_TOKENS

if TYPE_CHECKING:
    from cromwell import binding

LETTER = r"A-Za-z\x{80}-\x{ff}"
SYMBOL = rf"[^{LETTER}0-9 \t\r\n]"
PATTERN = "|".join(
    (
        rf"[^{LETTER}0-9\r\n]?[{LETTER}]+",  # a word with the one symbol or blank before it
        r"[0-9]{1,2}",
        rf"[ \t]?{SYMBOL}+(?:[\r\n]+[ \t]*| (?=[0-9]))?",  # symbols, then the new line and its indentation, or the blank before a number
        r"[ \t]*[\r\n]+[ \t]*",
        r"[ \t]+(?=[ \t][^0-9 \t\r\n])",  # blanks, the last one left to the word or symbol after them
        r"[ \t]+",
    )
)
"""Pieces that BPE never crosses, over bytes written as characters 0..255. The twin in C is libcromwell/src/text/pieces.c."""

MAX_TOKEN_BYTES = 64  # no merge makes a longer token; a longer one would be a separator line that happens to be frequent
MAX_TOKEN_BYTES_READ = 256  # what readers of a section accept
TEXT_SUFFIXES = (".py", ".md", ".rst", ".txt")
TRAINING_FILE_BYTES = range(200, 300_001)  # smaller files say little, larger ones are mostly generated (datasets, tables)

MAGIC = b"CWTOKEN\n"
VERSION = 1
HEADER = struct.Struct("<8sIIIIQ")  # magic, version, specials, merges, names_size, checksum
_MASK = (1 << 64) - 1


class SectionError(ValueError):
    """A tokenizer section that is truncated, damaged or inconsistent."""


class Vocabulary(NamedTuple):
    """What defines a tokenizer. Ids: specials, then the 256 bytes, then one token a merge, in order."""

    specials: tuple[str, ...]
    merges: tuple[tuple[int, int], ...]  # ids of the two parts; a merge's own id is larger than both

    @property
    def first_byte(self) -> int:
        return len(self.specials)

    @property
    def size(self) -> int:
        return len(self.specials) + 256 + len(self.merges)

    def token_bytes(self) -> list[bytes]:
        """The bytes of every token; specials have none. [size]"""
        table = [b""] * self.first_byte + [bytes((value,)) for value in range(256)]
        for left, right in self.merges:
            table.append(table[left] + table[right])
        return table


# ---- section of the model pack --------------------------------------------------------------------------------------


def checksum(data: bytes) -> int:
    """64-bit checksum of a section: words of 8 bytes (zero-padded, little endian), h = (h ^ word) * odd, h ^= h >> 29."""
    padded = data + b"\0" * (-len(data) % 8)
    value = len(data)
    for (word,) in struct.iter_unpack("<Q", padded):
        value = (value ^ word) * 0x9E3779B97F4A7C15 & _MASK
        value ^= value >> 29
    return value


def to_section(vocabulary: Vocabulary) -> bytes:
    """`vocabulary` as the bytes of tokenizer.bin."""
    names = b"".join(name.encode("utf-8", "surrogateescape") + b"\0" for name in vocabulary.specials)
    names += b"\0" * (-len(names) % 8)
    counts = struct.pack("<IIII", VERSION, len(vocabulary.specials), len(vocabulary.merges), len(names))
    body = names + b"".join(struct.pack("<II", *merge) for merge in vocabulary.merges)
    return MAGIC + counts + struct.pack("<Q", checksum(counts + body)) + body


def read_section(data: bytes) -> Vocabulary:
    """The inverse of `to_section`; SectionError for bytes that it cannot have written."""
    if len(data) < HEADER.size:
        raise SectionError(f"tokenizer section of {len(data)} bytes, expected at least {HEADER.size}")
    magic, version, special_count, merge_count, names_size, expected = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise SectionError("not a tokenizer section")
    if version != VERSION:
        raise SectionError(f"tokenizer section version {version}, expected {VERSION}")
    if names_size % 8 or len(data) != HEADER.size + names_size + 8 * merge_count:
        raise SectionError(f"tokenizer section of {len(data)} bytes, expected {HEADER.size + names_size + 8 * merge_count}")
    if checksum(data[8:24] + data[HEADER.size :]) != expected:
        raise SectionError("tokenizer section differs from its checksum")
    strings = data[HEADER.size : HEADER.size + names_size].split(b"\0")
    names, padding = strings[:special_count], strings[special_count:]
    merges = tuple(struct.iter_unpack("<II", data[HEADER.size + names_size :]))
    if not padding or any(padding) or not all(names):
        raise SectionError(f"tokenizer section whose names are not those of {special_count} special tokens")
    length = [0] * special_count + [1] * 256
    for left, right in merges:
        if not (special_count <= left < len(length) and special_count <= right < len(length)):
            raise SectionError(f"merge {len(length)} of tokens {left} and {right}, which are not before it")
        if length[left] + length[right] > MAX_TOKEN_BYTES_READ:
            raise SectionError(f"merge {len(length)} is longer than {MAX_TOKEN_BYTES_READ} bytes")
        length.append(length[left] + length[right])
    return Vocabulary(tuple(name.decode("utf-8", "surrogateescape") for name in names), merges)


def library_tokenizer(vocabulary: Vocabulary, pieces: bool = True) -> tokenizers.Tokenizer:
    """`vocabulary` as a tokenizer of the `tokenizers` library, over latin-1 characters; without `pieces` BPE sees the whole text.

    Special tokens are entries of the vocabulary that no text produces, not "added tokens", which the library would find in text."""
    strings = list(vocabulary.specials) + [token.decode("latin-1") for token in vocabulary.token_bytes()[vocabulary.first_byte :]]
    merges = [(strings[left], strings[right]) for left, right in vocabulary.merges]
    library = tokenizers.Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(strings)}, merges=merges))
    if pieces:
        library.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(PATTERN), "isolated")
    library.decoder = decoders.Fuse()
    return library


# ---- use ------------------------------------------------------------------------------------------------------------


class Tokenizer:
    """Encodes and decodes bytes with the `tokenizers` library; what training uses and what libcromwell is compared with."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    @functools.cached_property
    def _bytes(self) -> list[bytes]:
        return self.vocabulary.token_bytes()

    @functools.cached_property
    def library(self) -> tokenizers.Tokenizer:
        """The library's own tokenizer, made when it is first asked for."""
        return library_tokenizer(self.vocabulary)

    @property
    def size(self) -> int:
        """Tokens in the vocabulary."""
        return self.vocabulary.size

    def special(self, name: str) -> int:
        """Id of a special token such as "<EDIT>"; ValueError for a name that is none."""
        return self.vocabulary.specials.index(name)

    def encode(self, text: bytes) -> list[int]:
        """Ids of `text` as ordinary text: no special token is ever among them."""
        return self.library.encode(text.decode("latin-1")).ids

    def encode_batch(self, texts: Sequence[bytes]) -> list[list[int]]:
        """`encode` of each text, on all cores."""
        return [encoding.ids for encoding in self.library.encode_batch_fast([text.decode("latin-1") for text in texts])]

    def decode(self, ids: Iterable[int], with_special: bool = False) -> bytes:
        """Bytes of `ids`; special tokens give their names when `with_special`, else nothing. IndexError for an id that is none."""
        table = self._bytes
        if with_special:
            table = [name.encode() for name in self.vocabulary.specials] + table[self.vocabulary.first_byte :]
        return b"".join(table[index] for index in ids)


def from_section(data: bytes) -> Tokenizer:
    """The tokenizer whose model-pack section is `data`; SectionError when it is damaged."""
    return Tokenizer(read_section(data))


def packed_section(pack: bytes) -> bytes:
    """The tokenizer section of a model pack (docs/pack.md): the third of the section table."""
    offset, size = struct.unpack_from("<QQ", pack, 64 + 2 * 32 + 8)
    return pack[offset : offset + size]


def section_at(path: str | os.PathLike[str]) -> bytes:
    """The tokenizer section at a file tokenizer.bin, at the folder that holds it, or in a model pack."""
    path = Path(path)
    data = (path / "tokenizer.bin" if path.is_dir() else path).read_bytes()
    return packed_section(data) if data.startswith(b"CROMPACK") else data


def load(path: str | os.PathLike[str]) -> Tokenizer:
    """The tokenizer of a file tokenizer.bin, of the folder that holds it, or of a model pack."""
    return from_section(section_at(path))


# ---- training -------------------------------------------------------------------------------------------------------


def files(paths: Iterable[str]) -> list[Path]:
    """The text files at and under `paths`, each once, in an order that depends only on their names below each path.

    The order is that of a hash of the name, so that any beginning of the list is a fair sample of the whole."""
    found: dict[Path, bytes] = {}
    for path in map(Path, paths):
        inside = [path] if path.is_file() else [file for file in path.rglob("*") if file.suffix in TEXT_SUFFIXES and file.is_file()]
        for file in inside:
            found.setdefault(file, hashlib.blake2b(os.fsencode(file.relative_to(path.parent))).digest())
    return sorted(found, key=lambda file: (found[file], file))


def texts(paths: Iterable[str], limit: int, sizes: range | None = None) -> Iterator[bytes]:
    """Contents of the files under `paths` with a size within `sizes`, until `limit` bytes are reached."""
    total = 0
    for file in files(paths):
        data = file.read_bytes()
        if sizes is not None and len(data) not in sizes:
            continue
        if total >= limit:
            return
        total += len(data)
        yield data


def merges_of(library: tokenizers.Tokenizer, first_byte: int) -> list[tuple[int, int]]:
    """The merges of a trained library tokenizer as pairs of its ids, each token by its first merge only."""
    model = json.loads(library.to_str())["model"]
    strings = {token: index for token, index in model["vocab"].items() if index >= first_byte}
    merges: dict[int, tuple[int, int]] = {}
    for left, right in model["merges"]:
        merges.setdefault(strings[left + right], (strings[left], strings[right]))
    if list(merges) != list(range(first_byte + 256, first_byte + 256 + len(merges))):
        raise RuntimeError("the library did not number its tokens in the order of their merges")
    return list(merges.values())


def reachable(vocabulary: Vocabulary) -> Vocabulary:
    """`vocabulary` without tokens that no text produces, because BPE splits their own bytes another way.

    Exact encoding by backtracking (libcromwell/src/text/bpe.c) relies on every token being the encoding of its bytes."""
    while True:
        bpe = library_tokenizer(vocabulary, pieces=False)
        tokens, first = vocabulary.token_bytes(), vocabulary.first_byte + 256
        lost = {index for index in range(first, vocabulary.size) if bpe.encode(tokens[index].decode("latin-1")).ids != [index]}
        if not lost:
            return vocabulary
        numbers: dict[int, int] = {index: index for index in range(first)}
        kept = []
        for index, (left, right) in enumerate(vocabulary.merges, first):
            if index not in lost and left in numbers and right in numbers:
                numbers[index] = first + len(kept)
                kept.append((numbers[left], numbers[right]))
        vocabulary = Vocabulary(vocabulary.specials, tuple(kept))


def train(data: Iterable[bytes], vocab_size: int, specials: Sequence[str] = SPECIAL_TOKENS) -> Vocabulary:
    """Learns a vocabulary of exactly `vocab_size` tokens from `data`; ValueError when the text is too small for it."""
    first = len(specials) + 256
    if vocab_size < first:
        raise ValueError(f"a vocabulary of {vocab_size} tokens, expected at least {first}")
    library = tokenizers.Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(PATTERN), "isolated")
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size + 64,  # a few more, in case some turn out unreachable
        special_tokens=list(specials),
        initial_alphabet=[chr(value) for value in range(256)],
        max_token_length=MAX_TOKEN_BYTES,
        show_progress=False,
    )
    library.train_from_iterator((text.decode("latin-1") for text in data), trainer)
    vocabulary = reachable(Vocabulary(tuple(specials), tuple(merges_of(library, len(specials)))))
    if vocabulary.size < vocab_size:
        raise ValueError(f"the text gives only {vocabulary.size} tokens, {vocab_size} were asked for")
    return vocabulary._replace(merges=vocabulary.merges[: vocab_size - first])


# ---- commands -------------------------------------------------------------------------------------------------------


def train_command(arguments: argparse.Namespace) -> None:
    started = time.monotonic()
    vocabulary = train(texts(arguments.paths, arguments.bytes, TRAINING_FILE_BYTES), arguments.vocab)
    folder = Path(arguments.out)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in (("tokenizer.json", library_tokenizer(vocabulary).to_str().encode()), ("tokenizer.bin", to_section(vocabulary))):
        temporary = folder / (name + ".new")
        temporary.write_bytes(data)
        temporary.replace(folder / name)
    print(f"{vocabulary.size} tokens in {time.monotonic() - started:.1f} s: {folder}/tokenizer.json, {folder}/tokenizer.bin")


def measure_command(arguments: argparse.Namespace) -> None:
    tokenizer = load(arguments.tokenizer)
    data = list(texts(arguments.paths, arguments.bytes))
    size, count = sum(map(len, data)), sum(map(len, tokenizer.encode_batch(data)))
    print(f"{size} bytes, {count} tokens, {size / max(count, 1):.3f} bytes per token")


def differences(library: Tokenizer, native: binding.Tokenizer, data: Sequence[bytes]) -> list[bytes]:
    """The texts of `data` that libcromwell encodes in another way than the library, or does not decode to what they were."""
    pairs = zip(data, library.encode_batch(data), strict=True)
    return [text for text, ids in pairs if native.encode(text) != ids or native.decode(ids) != text]


def tiktoken_encoder(vocabulary: Vocabulary) -> Callable[[bytes], list[int]]:
    """`vocabulary` as an encoder of the tiktoken library, for texts in UTF-8; it has no other."""
    import tiktoken

    pattern = PATTERN.replace(r"\x{80}-\x{ff}", r"\x{80}-\x{10ffff}")
    first = vocabulary.first_byte
    ranks = {token: rank for rank, token in enumerate(vocabulary.token_bytes()[first:])}
    encoding = tiktoken.Encoding("cromwell", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return lambda text: [rank + first for rank in encoding.encode_ordinary(text.decode())]


def compare_command(arguments: argparse.Namespace) -> None:
    """Shows that libcromwell and the library agree, and how fast each is on one thread."""
    from cromwell import binding  # training itself needs no built library

    library = load(arguments.tokenizer)
    native = binding.Tokenizer(to_section(library.vocabulary))
    data = list(texts(arguments.paths, arguments.bytes))
    size = sum(map(len, data))
    different = differences(library, native, data)
    print(f"{len(data)} files, {size} bytes: {len(different)} encoded in another way than by tokenizers {tokenizers.__version__}")
    encoders: dict[str, Callable[[bytes], object]] = {"libcromwell": native.encode_array, "tokenizers": library.encode}
    with contextlib.suppress(ImportError):
        encoders["tiktoken"] = tiktoken_encoder(library.vocabulary)
    sample = [text for text in data[: max(1, len(data) // 10)] if is_utf8(text)]
    sample_size = sum(map(len, sample))
    for name, encode in encoders.items():
        elapsed = []
        for _ in range(3):
            started = time.thread_time()
            for text in sample:
                encode(text)
            elapsed.append(time.thread_time() - started)
        print(f"{name:12} {sample_size / min(elapsed) / 1e6:7.1f} MB/s on {sample_size} bytes, best of 3, processor time of one thread")
    if different:
        raise ValueError("the encodings differ")


def is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="training.tokenizer", description="Trains and checks the tokenizer.")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("train", help="learn a vocabulary")
    command.add_argument("--out", required=True, metavar="DIR")
    command.add_argument("--vocab", type=int, default=16384, metavar="TOKENS")
    command.add_argument("--bytes", type=int, default=60_000_000, metavar="N", help="stop reading after N bytes")
    command.add_argument("paths", nargs="+", metavar="PATH")
    command.set_defaults(run=train_command)
    command = commands.add_parser("measure", help="bytes per token")
    command.add_argument("--bytes", type=int, default=20_000_000, metavar="N", help="stop reading after N bytes")
    command.add_argument("tokenizer", metavar="TOKENIZER")
    command.add_argument("paths", nargs="+", metavar="PATH")
    command.set_defaults(run=measure_command)
    command = commands.add_parser("compare", help="libcromwell against the tokenizers library: equality and speed")
    command.add_argument("--bytes", type=int, default=50_000_000, metavar="N", help="stop reading after N bytes")
    command.add_argument("tokenizer", metavar="TOKENIZER")
    command.add_argument("paths", nargs="+", metavar="PATH")
    command.set_defaults(run=compare_command)
    arguments = parser.parse_args(argv)
    try:
        arguments.run(arguments)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
