"""The C library without the rest of cromwell.binding, whose wrappers take longer to import than most patches to apply."""

from __future__ import annotations

import os
import sys
from typing import Any

_NAME = "cromwell.binding._native"


def library() -> tuple[Any, Any]:
    """The ffi and the lib of the extension module, which cromwell.binding uses, too."""
    module = sys.modules.get(_NAME)
    if module is None:
        from _frozen_importlib_external import PathFinder  # importlib.machinery is the same, with warnings to import

        spec = PathFinder.find_spec(_NAME, [os.path.join(sys.modules["cromwell"].__path__[0], "binding")])
        assert spec is not None and spec.loader is not None
        module = sys.modules[_NAME] = spec.loader.create_module(spec)
        spec.loader.exec_module(module)
    return module.ffi, module.lib
