"""Python's view of libcromwell: handles as context managers, statuses as CromwellError, buffers without numpy.

Every wrapper owns one C handle, keeps what the handle points into alive, and closes once: by `close()`, by leaving `with`, or when
collected. A closed handle raises CromwellError instead of reaching C. Arrays of floats come back as memoryviews of format "f"."""

from __future__ import annotations

import functools
import os
from array import array
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, NamedTuple

from cromwell.binding._native import ffi, lib

STATUS_ARGUMENT, STATUS_MEMORY, STATUS_IO, STATUS_FORMAT = lib.CW_E_ARGUMENT, lib.CW_E_MEMORY, lib.CW_E_IO, lib.CW_E_FORMAT
STATUS_VERSION, STATUS_CHECKSUM, STATUS_ISA, STATUS_CAPACITY = lib.CW_E_VERSION, lib.CW_E_CHECKSUM, lib.CW_E_ISA, lib.CW_E_CAPACITY

STOP_REASONS = {lib.CW_STOP_TOKEN: "token", lib.CW_STOP_STRING: "string", lib.CW_STOP_LENGTH: "length", lib.CW_STOP_CALLER: "caller"}

TILE_BYTES = 256 * 256 * 3


class CromwellError(Exception):
    """A call of libcromwell failed: `status` is its cw_status, `text` one line that says what and where."""

    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status, self.text = status, text


class ModelInfo(NamedTuple):
    """cw_model_info."""

    vocab_size: int
    max_positions: int
    joint_size: int
    max_tiles: int
    vision_tokens_per_tile: int
    jepa_steps: int
    parameter_count: int
    fingerprint: int
    block_tokens: int
    block_bytes: int


class TensorInfo(NamedTuple):
    """One tensor of a model pack; `format` is "f32", "q8" or "q4"."""

    name: str
    format: str
    shape: tuple[int, ...]
    size_bytes: int


class Generation(NamedTuple):
    """What `generate` produced. `text_size` is the decoded size in bytes before a stop string, of all ids otherwise; `steps` are the
    model's passes, `drafted` the tokens fed on a guess, of which `accepted` were right."""

    ids: list[int]
    reason: str
    text_size: int
    log_probability: float
    steps: int
    drafted: int
    accepted: int


def _check(status: int, fault: Any = None, where: str = "") -> None:
    """Raises CromwellError for a status other than CW_OK, with the fault's text where there is one."""
    if status == lib.CW_OK:
        return
    text = ffi.string(fault.text).decode("utf-8", "replace") if fault is not None else ""
    text = text or ffi.string(lib.cw_status_text(status)).decode("utf-8", "replace")
    raise CromwellError(status, f"{where}: {text}" if where else text)


def _ids(ids: Sequence[int]) -> Any:
    """`ids` as an int32_t array. CromwellError for a value that is no int32."""
    try:
        values = ids if isinstance(ids, array) and ids.typecode == "i" else array("i", ids)
    except (OverflowError, TypeError) as error:
        raise CromwellError(STATUS_ARGUMENT, f"token ids: {error}") from None
    return ffi.from_buffer("int32_t[]", values)


class _Handle:
    """Owns a C handle: closes it once, refuses use after closing."""

    def __init__(self, handle: Any, close: Callable[[Any], None]):
        self._handle, self._close = handle, close

    def _open(self) -> Any:
        if self._handle is None:
            raise CromwellError(STATUS_ARGUMENT, f"{type(self).__name__}: used after close")
        return self._handle

    def close(self) -> None:
        """Frees the handle; a second call does nothing."""
        handle, self._handle = getattr(self, "_handle", None), None
        if handle is not None:
            self._close(handle)

    def __enter__(self) -> Any:
        self._open()
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


# ---- Machine ----------------------------------------------------------------------------------------------------------------


def version() -> str:
    """Version of libcromwell."""
    return ffi.string(lib.cw_version()).decode("ascii")


def isa_select(name: str | None) -> None:
    """Selects the kernels for models opened from now on; None is the best this machine has. CromwellError(STATUS_ISA) otherwise."""
    _check(lib.cw_isa_select(ffi.NULL if name is None else name.encode("utf-8")), where=f"instruction set {name}")


def isa_name() -> str:
    """The selected instruction set."""
    return ffi.string(lib.cw_isa_name()).decode("ascii")


def threads_default() -> int:
    """Threads used where 0 is asked for."""
    return lib.cw_threads_default()


def checksum64(data: bytes) -> int:
    """The model pack's checksum of `data`."""
    return lib.cw_checksum64(ffi.from_buffer(data), len(data))


# ---- Tokenizer --------------------------------------------------------------------------------------------------------------


_uncleared = ffi.new_allocator(should_clear_after_alloc=False)


class Tokenizer(_Handle):
    """Byte-level BPE. `data` is the tokenizer section of a model pack; a model's own tokenizer is `Model.tokenizer`."""

    def __init__(self, data: bytes):
        fault, out = ffi.new("cw_fault *"), ffi.new("cw_tokenizer **")
        self._data = ffi.from_buffer(data)  # the handle points into it
        _check(lib.cw_tokenizer_open(self._data, len(data), out, fault), fault)
        super().__init__(out[0], lib.cw_tokenizer_close)

    @classmethod
    def _of(cls, model: Model) -> Tokenizer:
        tokenizer = cls.__new__(cls)
        tokenizer._model = model  # owns the handle and must outlive it
        _Handle.__init__(tokenizer, lib.cw_model_tokenizer(model._open()), lambda handle: None)
        return tokenizer

    def _open(self) -> Any:
        if "_model" in self.__dict__:
            self._model._open()
        return super()._open()

    @property
    def size(self) -> int:
        """Tokens in the vocabulary."""
        return lib.cw_tokenizer_size(self._open())

    def special(self, name: str) -> int:
        """Id of a special token such as "<EDIT>", or -1."""
        return lib.cw_tokenizer_special(self._open(), name.encode("utf-8"))

    def _encode(self, text: bytes) -> tuple[Any, int]:
        """A buffer of C that begins with the ids of `text`, and their number.

        It has room for an id a byte, which is always enough; memory that is not cleared costs only the pages that ids reach."""
        handle, ids, count = self._open(), _uncleared("int32_t[]", len(text)), ffi.new("size_t *")
        _check(lib.cw_tokenizer_encode(handle, ffi.from_buffer(text), len(text), ids, len(text), count))
        return ids, count[0]

    def encode_array(self, text: bytes) -> array:
        """Ids of `text` as array("i"); special tokens are never produced."""
        ids, count = self._encode(text)
        out = array("i")
        out.frombytes(ffi.buffer(ids, count * out.itemsize))
        return out

    def encode_many(self, texts: Sequence[bytes]) -> tuple[array, array]:
        """Ids of several texts, one after the other, as array("i"), and where each text's end as array("q"): as `encode_array` gives them
        one by one, at half the cost for texts of a few hundred bytes."""
        handle, room, count, made = self._open(), sum(map(len, texts)), ffi.new("size_t *"), 0
        ids, ends = _uncleared("int32_t[]", room), array("q")
        for text in texts:
            _check(lib.cw_tokenizer_encode(handle, ffi.from_buffer(text), len(text), ids + made, room - made, count))
            made += count[0]
            ends.append(made)
        out = array("i")
        out.frombytes(ffi.buffer(ids, made * out.itemsize))
        return out, ends

    def encode(self, text: bytes) -> list[int]:
        """Ids of `text`; special tokens are never produced."""
        return ffi.unpack(*self._encode(text))

    def decode(self, ids: Sequence[int], with_special: bool = False) -> bytes:
        """The bytes of `ids`; special tokens by name, or not at all. CromwellError for an id outside the vocabulary."""
        handle, buffer, size = self._open(), _ids(ids), ffi.new("size_t *")
        _check(lib.cw_tokenizer_decode(handle, buffer, len(buffer), with_special, ffi.NULL, 0, size))
        out = ffi.new("uint8_t[]", max(1, size[0]))
        _check(lib.cw_tokenizer_decode(handle, buffer, len(buffer), with_special, out, size[0], size))
        return bytes(ffi.buffer(out, size[0]))


# ---- Model ------------------------------------------------------------------------------------------------------------------


def default_model_path() -> str:
    """Path of the model pack that is installed with the package."""
    return os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "models", "nano.cwm")


class Model(_Handle):
    """A model pack, mapped read-only. CromwellError says what is wrong with a file that is not a sound one; the numbers of the tensors
    are not read until they are used, or checked by `verify`."""

    def __init__(self, path: str | os.PathLike[str]):
        fault, out = ffi.new("cw_fault *"), ffi.new("cw_model **")
        name = os.fsencode(path)
        if b"\0" in name:
            raise CromwellError(STATUS_ARGUMENT, "model path holds a NUL byte")
        _check(lib.cw_model_open(name, out, fault), fault, os.fsdecode(path))
        super().__init__(out[0], lib.cw_model_close)
        self.path = os.fspath(path)
        self.tokenizer = Tokenizer._of(self)

    def verify(self) -> None:
        """Reads and checks the numbers of all tensors. CromwellError when they are not those that were written."""
        fault = ffi.new("cw_fault *")
        _check(lib.cw_model_verify(self._open(), fault), fault, os.fsdecode(self.path))

    @property
    def tensors(self) -> list[TensorInfo]:
        """The tensors of the pack, in its order."""
        found, out = [], ffi.new("cw_tensor_info *")
        for index in range(lib.cw_model_tensor_count(self._open())):
            _check(lib.cw_model_tensor(self._handle, index, out))
            name, form = (ffi.string(text).decode("utf-8", "replace") for text in (out.name, out.format))
            found.append(TensorInfo(name, form, tuple(out.shape[0 : out.rank]), out.size_bytes))
        return found

    @property
    def info(self) -> ModelInfo:
        """Sizes of the model."""
        out = ffi.new("cw_model_info *")
        lib.cw_model_describe(self._open(), out)
        return ModelInfo(*(getattr(out, field) for field in ModelInfo._fields))

    @property
    def config(self) -> dict[str, Any]:
        """The configuration the model was built from."""
        import json

        size = ffi.new("size_t *")
        text = lib.cw_model_config(self._open(), size)
        return json.loads(bytes(ffi.buffer(text, size[0])))

    @property
    def fingerprint(self) -> str:
        """Checksum over configuration, tokenizer and every tensor, as 16 hex digits."""
        return f"{self.info.fingerprint:016x}"


# ---- Session ----------------------------------------------------------------------------------------------------------------

TraceFunction = Callable[[str, int, memoryview, int, int], None]
"""name, layer, values (format "f", rows * cols), rows, cols; the values are valid during the call only."""


class _Callback:
    """A Python function called from C. An exception in it, or in another that shares `errors`, ends the call that it was made from."""

    def __init__(self, function: Callable[..., Any] | None, errors: list[BaseException] | None = None):
        self.function, self.errors = function, [] if errors is None else errors

    def reraise(self) -> None:
        if self.errors:
            error = self.errors[0]
            self.errors.clear()
            raise error


def _keep_error(_type: Any, error: BaseException, trace: Any) -> None:
    """Remembers what a callback raised, an interrupt before its first line included, for the call that it was made from."""
    ffi.from_handle(trace.tb_frame.f_locals["user"]).errors.append(error)


@ffi.def_extern(onerror=_keep_error)
def cw_py_trace(user: Any, name: Any, layer: int, values: Any, rows: int, cols: int) -> None:
    callback = ffi.from_handle(user)
    if not callback.errors:
        view = memoryview(ffi.buffer(values, 4 * rows * cols)).cast("B").cast("f")
        callback.function(ffi.string(name).decode("ascii"), layer, view, rows, cols)


@ffi.def_extern(error=1, onerror=_keep_error)
def cw_py_token(user: Any, token: int) -> int:
    callback = ffi.from_handle(user)
    if callback.errors:
        return 1
    return 1 if callback.function is not None and callback.function(token) else 0


class Session(_Handle):
    """One sequence and its states. `max_tiles` is the room for pictures; 0 threads is the machine's default."""

    def __init__(self, model: Model, max_tokens: int, max_tiles: int = 0, threads: int = 0, guidance: bool = True):
        fault, out, options = ffi.new("cw_fault *"), ffi.new("cw_session **"), ffi.new("cw_session_options *")
        try:
            options.max_tokens, options.max_tiles, options.threads, options.guidance = max_tokens, max_tiles, threads, bool(guidance)
        except OverflowError as error:
            raise CromwellError(STATUS_ARGUMENT, f"session options: {error}") from None
        _check(lib.cw_session_open(model._open(), options, out, fault), fault)
        super().__init__(out[0], lib.cw_session_close)
        self.model, self.guidance = model, bool(guidance)  # the handle points into the model
        self._info, self._trace, self._kept, self._sources = model.info, None, [], []

    def _open(self) -> Any:
        self.model._open()
        for source in self._sources:
            source._open()
        return super()._open()

    def close(self) -> None:
        """Frees the handle; a second call does nothing."""
        super().close()
        self._trace, self._kept, self._sources = None, [], []

    @property
    def block_tokens(self) -> int:
        """Tokens whose states make a block."""
        return self._info.block_tokens

    @property
    def block_bytes(self) -> int:
        """Size of a block of states."""
        return self._info.block_bytes

    @property
    def length(self) -> int:
        """Tokens fed so far."""
        return lib.cw_session_length(self._open())

    def _traced(self, status: int) -> None:
        if self._trace is not None:
            self._trace[0].reraise()
        _check(status)

    def feed(self, ids: Sequence[int]) -> None:
        """Feeds tokens and computes their states."""
        buffer = _ids(ids)
        self._traced(lib.cw_session_feed(self._open(), buffer, len(buffer)))

    def feed_image(self, tiles: bytes, rows: int, cols: int) -> None:
        """Feeds a picture, [rows*cols, 256, 256, 3] RGB bytes; the next token fed must be its <IMAGE> token."""
        if rows < 1 or cols < 1 or len(tiles) != rows * cols * TILE_BYTES:
            raise CromwellError(STATUS_ARGUMENT, f"picture of {len(tiles)} bytes is not {rows} x {cols} tiles")
        self._traced(lib.cw_session_feed_image(self._open(), ffi.from_buffer("uint8_t[]", tiles), rows, cols))

    def logits(self) -> memoryview:
        """Logits of the last token, [vocab_size] floats; valid until the next call on this session, so copy what must stay."""
        return self.logits_rows(1)

    def logits_rows(self, count: int) -> memoryview:
        """Logits of the last `count` tokens (64 at most), [count * vocab_size] floats; valid until the next call on this session."""
        out = ffi.new("float **")
        self._traced(lib.cw_session_logits_rows(self._open(), _unsigned(count), out))
        return memoryview(ffi.buffer(out[0], 4 * count * self._info.vocab_size)).cast("B").cast("f")

    def rewind(self, length: int) -> None:
        """Forgets everything from position `length` on, pictures after it included."""
        _check(lib.cw_session_rewind(self._open(), _unsigned(length)))

    def joint(self, first: int, count: int) -> bytes:
        """Joint embeddings of `count` tokens from `first` on, little-endian floats [count, joint_size]."""
        size = 4 * _unsigned(count) * self._info.joint_size
        self._within(first, count)
        out = ffi.new("float[]", max(1, size // 4))
        _check(lib.cw_session_joint(self._open(), first, count, out))
        return bytes(ffi.buffer(out, size))

    def block(self, index: int) -> memoryview:
        """States of block `index` of 64 tokens, read-only bytes, valid until the session is rewound below its end or closed.
        CromwellError for a block that is not complete or follows a picture."""
        out = ffi.new("void **")
        _check(lib.cw_session_block(self._open(), _unsigned(index), out))
        states = ffi.gc(out[0], lambda _states, _session=self: None)  # frees nothing: the view keeps the session
        return memoryview(ffi.buffer(states, self.block_bytes)).toreadonly()

    def attach(self, ids: Sequence[int], block: bytes | memoryview) -> None:
        """Appends 64 tokens with their states, which are used in place and kept alive; `block` is 64-byte aligned.
        CromwellError(STATUS_FORMAT) when it holds the states of other tokens, another place or another model."""
        buffer = _ids(ids)
        if len(buffer) != self.block_tokens:
            raise CromwellError(STATUS_ARGUMENT, f"{len(buffer)} tokens are not a block of {self.block_tokens}")
        _check(lib.cw_session_attach(self._open(), buffer, ffi.from_buffer(block), len(block)))
        self._kept.append(block)

    def share(self, other: Session, count: int) -> None:
        """An empty session takes the first `count` tokens of another, pictures included, and uses their states in place; the other must
        not be rewound below them while this one is open."""
        _check(lib.cw_session_share(self._open(), other._open(), _unsigned(count)))
        self._sources.append(other)

    def trace(self, function: TraceFunction | None) -> None:
        """Calls `function` with every intermediate result while feeding; None ends it. An exception in it ends the feeding call."""
        handle = self._open()
        if function is None:
            lib.cw_session_trace(handle, ffi.NULL, ffi.NULL)
            self._trace = None
        else:
            callback = _Callback(function)
            self._trace = (callback, ffi.new_handle(callback))
            lib.cw_session_trace(handle, lib.cw_py_trace, self._trace[1])

    def _within(self, first: int, count: int) -> None:
        if first < 0 or count < 0 or first + count > self.length:
            raise CromwellError(STATUS_ARGUMENT, f"tokens {first}..{first + count} are not within the {self.length} fed")


def feed_each(sessions: Sequence[Session], ids: Sequence[int], counts: Sequence[int] | None = None) -> None:
    """Feeds counts[i] tokens (None: one) to each of the sessions, all different and of one model, in one pass: `ids` of the first session,
    then those of the next, 192 in all at most. Runs with the threads of the first."""
    numbers = _counts(sessions, counts)
    if sum(numbers or [1] * len(sessions)) != len(ids):
        raise CromwellError(STATUS_ARGUMENT, f"{len(ids)} tokens for {len(sessions)} sessions")
    handles = [session._open() for session in sessions]
    status = lib.cw_session_feed_each(ffi.new("cw_session *[]", handles), _ids(ids), _or_null(numbers), len(handles))
    if handles:
        sessions[0]._traced(status)


def logits_each(sessions: Sequence[Session], counts: Sequence[int] | None = None) -> memoryview:
    """Logits of the last counts[i] tokens (None: the last) of each session, 192 in all at most, [all * vocab_size] floats; valid until the
    next call on the first."""
    if not sessions:
        raise CromwellError(STATUS_ARGUMENT, "logits of no session")
    numbers = _counts(sessions, counts)
    handles, out = [session._open() for session in sessions], ffi.new("float **")
    sessions[0]._traced(lib.cw_session_logits_each(ffi.new("cw_session *[]", handles), _or_null(numbers), len(handles), out))
    rows = len(sessions) if numbers is None else sum(numbers)
    return memoryview(ffi.buffer(out[0], 4 * rows * sessions[0]._info.vocab_size)).cast("B").cast("f")


def _counts(sessions: Sequence[Session], counts: Sequence[int] | None) -> list[int] | None:
    if counts is not None and len(counts) != len(sessions):
        raise CromwellError(STATUS_ARGUMENT, f"{len(counts)} counts for {len(sessions)} sessions")
    return None if counts is None else [_unsigned(count) for count in counts]


def _or_null(numbers: list[int] | None) -> Any:
    return ffi.NULL if numbers is None else ffi.new("uint32_t[]", numbers)


def _unsigned(value: int) -> int:
    if not 0 <= value < 1 << 32:
        raise CromwellError(STATUS_ARGUMENT, f"{value} is not a count")
    return value


# ---- Sampling ---------------------------------------------------------------------------------------------------------------


class Sampler(_Handle):
    """Picks tokens from logits; temperature 0 is greedy. The seed decides every draw."""

    def __init__(self, vocab_size: int, max_tokens: int, temperature: float = 0.0, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0,
                 repetition_penalty: float = 1.0, repetition_window: int = 0, seed: int = 0):
        fault, out, options = ffi.new("cw_fault *"), ffi.new("cw_sampler **"), ffi.new("cw_sampling *")
        try:
            options.temperature, options.top_k, options.top_p, options.min_p = temperature, top_k, top_p, min_p
            options.repetition_penalty, options.repetition_window, options.seed = repetition_penalty, repetition_window, seed
            _check(lib.cw_sampler_open(vocab_size, max_tokens, options, out, fault), fault)
        except OverflowError as error:
            raise CromwellError(STATUS_ARGUMENT, f"sampling options: {error}") from None
        super().__init__(out[0], lib.cw_sampler_close)
        self.vocab_size = vocab_size

    def accept(self, ids: Sequence[int]) -> None:
        """Adds tokens to the history that the repetition penalty looks at."""
        buffer = _ids(ids)
        _check(lib.cw_sampler_accept(self._open(), buffer, len(buffer)))

    def next(self, logits: Any) -> tuple[int, float]:
        """Picks a token from [vocab_size] floats (any buffer): its id and its log-probability under the plain softmax."""
        values, token, log_probability = ffi.from_buffer("float[]", logits), ffi.new("int32_t *"), ffi.new("float *")
        if len(values) != self.vocab_size:
            raise CromwellError(STATUS_ARGUMENT, f"{len(values)} logits for a vocabulary of {self.vocab_size}")
        _check(lib.cw_sampler_next(self._open(), values, token, log_probability))
        return token[0], log_probability[0]


class _Request:
    """A cw_generate_request and what it points into."""

    def __init__(self, stop_ids: Sequence[int], stop_strings: Sequence[bytes], max_tokens: int, draft: Sequence[int] = ()):
        strings = [ffi.from_buffer("uint8_t[]", text) for text in stop_strings]
        self._kept = (strings, ffi.new("uint8_t *[]", strings), ffi.new("size_t[]", [len(text) for text in stop_strings]),
                      _ids(stop_ids), _ids(draft))
        _, pointers, sizes, stops, source = self._kept
        self.ids = ffi.new("int32_t[]", max(1, _unsigned(max_tokens)))
        self.fields = {"stop_ids": stops, "stop_id_count": len(stops), "stop_strings": pointers, "stop_sizes": sizes,
                       "stop_string_count": len(strings), "max_tokens": max_tokens, "draft_ids": source, "draft_count": len(source)}
        self.callback = _Callback(None)

    def call(self, on_token: Callable[[int], Any] | None, errors: list[BaseException] | None = None) -> _Request:
        """Calls `on_token` for every token; with None, too, each gives the interpreter a chance to see an interrupt. Requests that share
        `errors` end together."""
        self.callback = _Callback(on_token, errors)
        self._user = ffi.new_handle(self.callback)
        self.fields |= {"on_token": lib.cw_py_token, "user": self._user}
        return self


def _generation(ids: Any, made: Any) -> Generation:
    tokens = ffi.unpack(ids, made.count) if made.count else []
    return Generation(tokens, STOP_REASONS[made.reason], made.text_size, made.log_probability_sum, made.steps, made.drafted, made.accepted)


def _same_vocabulary(session: Session, sampler: Sampler) -> None:
    if sampler.vocab_size != session._info.vocab_size:
        raise CromwellError(STATUS_ARGUMENT, f"sampler for {sampler.vocab_size} tokens, model with {session._info.vocab_size}")


def generate(session: Session, sampler: Sampler, stop_ids: Sequence[int], stop_strings: Sequence[bytes], max_tokens: int,
             on_token: Callable[[int], Any] | None = None, draft: Sequence[int] = ()) -> Generation:
    """Samples and feeds tokens until a stop id, a stop string, `max_tokens`, or a true result of `on_token(id)`.

    `draft` holds tokens that the answer is likely to repeat, from its likeliest beginning on; they make it come faster, never different.
    An exception in `on_token`, an interrupt included, ends the loop and is raised here."""
    _same_vocabulary(session, sampler)
    request, out = _Request(stop_ids, stop_strings, max_tokens, draft).call(on_token), ffi.new("cw_generation *")
    asked = ffi.new("cw_generate_request *", request.fields)
    status = lib.cw_generate(session._open(), sampler._open(), asked, request.ids, out)
    request.callback.reraise()
    session._traced(status)
    return _generation(request.ids, out)


def generate_each(sessions: Sequence[Session], samplers: Sequence[Sampler], stop_ids: Sequence[int], stop_strings: Sequence[bytes],
                  max_tokens: int, on_token: Callable[[int, int], Any] | None = None, draft: Sequence[int] = ()) -> list[Generation]:
    """`generate` with every session and its sampler at a time, in passes for all of them: the same answers. Sessions that share one prompt
    cost least, and passes run with the threads of the roomiest, of equals the first. `on_token(number, id)` with a true result ends
    the answer of that number; an exception in it ends the loop and is raised here."""
    if len(sessions) != len(samplers):
        raise CromwellError(STATUS_ARGUMENT, f"{len(samplers)} samplers for {len(sessions)} sessions")
    for session, sampler in zip(sessions, samplers, strict=True):
        _same_vocabulary(session, sampler)
    errors: list[BaseException] = []
    requests = [_Request(stop_ids, stop_strings, max_tokens, draft).call(on_token and functools.partial(on_token, number), errors)
                for number in range(len(sessions))]  # fmt: skip
    asked = ffi.new("cw_generate_request[]", [request.fields for request in requests])
    out = ffi.new("cw_generation[]", max(1, len(requests)))
    status = lib.cw_generate_each(ffi.new("cw_session *[]", [session._open() for session in sessions]),
                                  ffi.new("cw_sampler *[]", [sampler._open() for sampler in samplers]), asked, len(requests),
                                  ffi.new("int32_t *[]", [request.ids for request in requests]), out)
    for request in requests:
        request.callback.reraise()
    _check(status)
    return [_generation(request.ids, out[number]) for number, request in enumerate(requests)]


def beam_search(sessions: Sequence[Session], stop_ids: Sequence[int], stop_strings: Sequence[bytes], max_tokens: int) -> list[Generation]:
    """The answers of the highest mean log-probability that a search as wide as there are sessions (1 to 8) finds, the best first.

    The first session holds the prompt; the others are of the same model, and with pictures hold the same."""
    fault, out, found = ffi.new("cw_fault *"), ffi.new("cw_beam **"), ffi.new("uint32_t *")
    request = _Request(stop_ids, stop_strings, max_tokens)
    _check(lib.cw_beam_open(len(sessions), max_tokens, out, fault), fault)
    try:
        asked = ffi.new("cw_generate_request *", request.fields)
        _check(lib.cw_beam_search(out[0], ffi.new("cw_session *[]", [session._open() for session in sessions]), asked, found))
        answers, ids, made = [], ffi.new("int32_t **"), ffi.new("cw_generation *")
        for index in range(found[0]):
            _check(lib.cw_beam_answer(out[0], index, ids, made))
            answers.append(_generation(ids[0], made))
        return answers
    finally:
        lib.cw_beam_close(out[0])


# ---- Pictures ---------------------------------------------------------------------------------------------------------------


def image_layout(width: int, height: int, max_tiles: int) -> tuple[int, int, int, int]:
    """(rows, cols, scaled width, scaled height) of the tiles for a picture of width x height pixels."""
    out = [ffi.new("uint32_t *") for _ in range(4)]
    _check(lib.cw_image_layout(_unsigned(width), _unsigned(height), _unsigned(max_tiles), *out), where=f"picture of {width} x {height}")
    return out[0][0], out[1][0], out[2][0], out[3][0]


def image_tiles(rgb: bytes, width: int, height: int, rows: int, cols: int, scaled_width: int, scaled_height: int) -> bytes:
    """Cuts RGB bytes [height, width, 3] into tiles [rows*cols, 256, 256, 3] as image_layout laid them out."""
    sizes = [_unsigned(value) for value in (width, height, rows, cols, scaled_width, scaled_height)]
    if len(rgb) != width * height * 3 or rows * cols > 64:
        raise CromwellError(STATUS_ARGUMENT, f"{len(rgb)} bytes are not a picture of {width} x {height} in at most 64 tiles")
    tiles = ffi.new("uint8_t[]", max(1, rows * cols * TILE_BYTES))
    _check(lib.cw_image_tiles(ffi.from_buffer("uint8_t[]", rgb), *sizes, tiles), where=f"picture of {width} x {height}")
    return bytes(ffi.buffer(tiles, rows * cols * TILE_BYTES))


# ---- Diff -------------------------------------------------------------------------------------------------------------------


DIFF_ALGORITHMS = {"histogram": lib.CW_DIFF_HISTOGRAM, "patience": lib.CW_DIFF_PATIENCE, "myers": lib.CW_DIFF_MYERS,
                   "minimal": lib.CW_DIFF_MINIMAL}


class Diff(_Handle):
    """The line differences of two byte strings, found by one of DIFF_ALGORITHMS."""

    def __init__(self, old: bytes, new: bytes, algorithm: str = "histogram"):
        fault, out = ffi.new("cw_fault *"), ffi.new("cw_diff **")
        self._texts = ffi.from_buffer("uint8_t[]", old), ffi.from_buffer("uint8_t[]", new)  # kept: the diff points into them
        _check(lib.cw_diff_open(self._texts[0], len(old), self._texts[1], len(new), DIFF_ALGORITHMS[algorithm], out, fault), fault)
        super().__init__(out[0], lib.cw_diff_close)

    def changes(self) -> list[tuple[int, int, int, int]]:
        """Changed line ranges in order: (old first, old count, new first, new count), lines from 0."""
        changes = ffi.new("cw_diff_change **")
        count = lib.cw_diff_changes(self._open(), changes)
        return [(change.old_first, change.old_count, change.new_first, change.new_count) for change in changes[0][0:count]]

    def text(self, context: int) -> bytes:
        """The hunks of a unified diff with `context` lines around changes; git's heading after the second @@."""
        text, size = ffi.new("uint8_t **"), ffi.new("size_t *")
        _check(lib.cw_diff_text(self._open(), _unsigned(context), text, size))
        return bytes(ffi.buffer(text[0], size[0]))


def diff_lines(old: bytes, new: bytes, algorithm: str = "histogram") -> list[tuple[int, int, int, int]]:
    """Changed line ranges in order: (old first, old count, new first, new count), lines from 0."""
    with Diff(old, new, algorithm) as diff:
        return diff.changes()
