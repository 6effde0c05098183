"""Opens the engine as the settings say, with errors that name the file and what to try.

Opening a pack leaves the numbers of its tensors unread, so that it takes no longer for a large model than for a small one. They are
checked once: a file whose numbers were found sound is remembered in the cache by what changes with it (device, inode, size, times)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cromwell.contract.errors import CommandError
from cromwell.contract.settings import Settings

if TYPE_CHECKING:
    from cromwell.binding import Model
    from cromwell.contract.cache import Cache

_SETTLED_NS = 2_000_000_000  # a file changed later than this may change again within the same tick of its times: it is not remembered


def open_model(settings: Settings) -> Model:
    """The model pack of the settings, its kernels selected. CommandError when the pack or the instruction set cannot be used."""
    from cromwell import binding
    from cromwell.contract.cache import Cache

    try:
        binding.isa_select(settings.isa)
    except binding.CromwellError as error:
        raise CommandError(error.text, "scalar works everywhere; without --isa and CROMWELL_ISA the best one is taken") from None
    return open_model_file(settings.model or binding.default_model_path(), Cache.of(settings))


def open_model_file(path: str, cache: Cache | None = None) -> Model:
    """A model pack by its path, its numbers checked unless `cache` knows that they were. CommandError when it cannot be used."""
    from cromwell import binding

    try:
        before = _identity(path)
        model = binding.Model(path)
        try:
            _verify(model, path, before, cache)
        except BaseException:
            model.close()
            raise
        return model
    except binding.CromwellError as error:
        text = error.text if path in error.text else f"{path}: {error.text}"
        raise CommandError(text, _HINTS.get(error.status, "name a model pack with --model")) from None


def _identity(path: str) -> tuple[int, ...]:
    """What tells a file and its state from all others; nothing when it cannot be read, which opening it will report."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _verify(model: Model, path: str, before: tuple[int, ...], cache: Cache | None) -> None:
    """Checks the numbers of a model that was opened after its file was as `before`, unless the cache has a stamp for that."""
    if cache is None:
        model.verify()
        return
    from cromwell.contract.cache import content_key

    key = content_key("verified", model.fingerprint, *before)
    if cache.get("verified", key) is not None:
        return
    model.verify()
    import time

    if before and _identity(path) == before and max(before[-2:]) < time.time_ns() - _SETTLED_NS:
        cache.put("verified", key, b"")


_HINTS = {
    3: "check the path given by --model, CROMWELL_MODEL or a settings file",  # CW_E_IO
    4: "it is damaged or no model pack; install the package again or export the model anew",  # CW_E_FORMAT
    5: "it was written for another version of cromwell; export the model anew",  # CW_E_VERSION
    6: "it is damaged; install the package again or export the model anew",  # CW_E_CHECKSUM
}
