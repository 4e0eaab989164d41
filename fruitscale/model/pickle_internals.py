"""The use of pickle that it does not promise: its unpickler in Python, which can be limited.

tests/contract/test_private_names.py fails if an upgrade takes it away.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import IO, Any


class LimitedUnpickler(pickle._Unpickler):
    """Builds dicts and the objects in `allowed`, and refuses to look up anything else.

    The public pickle.Unpickler, in C, reserves as much memory as an index in a file names: a small crafted file would take
    all of it. BYTEARRAY8 does so in both, so it is left out; it is younger than the format read here.
    """

    dispatch = {code: read for code, read in pickle._Unpickler.dispatch.items() if code != pickle.BYTEARRAY8[0]}  # noqa: RUF012

    def __init__(
        self, file: IO[bytes], allowed: Mapping[tuple[str, str], object], load_persistent: Callable[[Any], object]
    ) -> None:
        super().__init__(file)
        self._allowed = allowed
        self._load_persistent = load_persistent

    def find_class(self, module: str, name: str) -> object:
        """Return an allowed object. Raises UnpicklingError for any other name."""
        if (module, name) not in self._allowed:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}")
        return self._allowed[module, name]

    def persistent_load(self, pid: Any) -> object:  # noqa: ANN401
        """Return the object of a persistent id."""
        return self._load_persistent(pid)
