"""Opens the engine as the settings say, with errors that name the file and what to try."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cromwell.contract.errors import CommandError
from cromwell.contract.settings import Settings

if TYPE_CHECKING:
    from cromwell.binding import Model


def open_model(settings: Settings) -> Model:
    """The model pack of the settings, its kernels selected. CommandError when the pack or the instruction set cannot be used."""
    from cromwell import binding

    try:
        binding.isa_select(settings.isa)
    except binding.CromwellError as error:
        raise CommandError(error.text, "scalar works everywhere; without --isa and CROMWELL_ISA the best one is taken") from None
    return open_model_file(settings.model or binding.default_model_path())


def open_model_file(path: str) -> Model:
    """A model pack by its path. CommandError when it cannot be used."""
    from cromwell import binding

    try:
        return binding.Model(path)
    except binding.CromwellError as error:
        text = error.text if path in error.text else f"{path}: {error.text}"
        raise CommandError(text, _HINTS.get(error.status, "name a model pack with --model")) from None


_HINTS = {
    3: "check the path given by --model, CROMWELL_MODEL or a settings file",  # CW_E_IO
    4: "it is damaged or no model pack; install the package again or export the model anew",  # CW_E_FORMAT
    5: "it was written for another version of cromwell; export the model anew",  # CW_E_VERSION
    6: "it is damaged; install the package again or export the model anew",  # CW_E_CHECKSUM
}
