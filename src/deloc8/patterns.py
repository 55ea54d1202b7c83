"""Regular expressions that are compiled when they are first used.

A module's expressions are for many cases, of which a run of the command meets a few: compiling all of them took a
twentieth of the time of `deloc8 show` on a small wheel.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from re import compile as pattern
    from typing import Any
else:

    class pattern:  # noqa: N801  used like `re.compile`
        """Pattern that `re.compile` compiles at first use."""

        def __init__(self, text: str | bytes, flags: int = 0) -> None:
            self._text = text
            self._flags = flags

        def __getattr__(self, name: str) -> Any:
            value = getattr(re.compile(self._text, self._flags), name)
            setattr(self, name, value)  # later look-ups do not come here
            return value


__all__ = ["pattern"]
