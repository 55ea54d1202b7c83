"""The memory of a command: what it does not need any more goes back to the system."""

from __future__ import annotations

import os
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from deloc8.paths import StrPath

_LARGE = 8 << 20  # bytes of wheels from which on it is worth an import of some milliseconds
_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -3, -1  # mallopt(3)
_BLOCK = 4 << 20


def give_memory_back(wheels: Iterable[StrPath]) -> None:
    """Let large blocks go back to the system as soon as they are free, where the wheels are so large that they count.

    glibc would raise the size from which on it does so with each large block that is freed, up to 32 MiB; what lies
    between smaller ones then stays with the process: a quarter of the peak of a repair. But once it is given one size,
    it hands back the end of the rest whenever 128 KiB are free there, to request them again at once: a twentieth of
    the time. Other C libraries do without.
    """
    size = 0
    for path in wheels:
        with suppress(OSError):  # opening it reports what is wrong
            size += os.stat(path).st_size  # noqa: PTH116  see `paths`
    if size < _LARGE:
        return
    with suppress(ImportError, OSError, AttributeError):
        import ctypes  # noqa: PLC0415  see above

        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, _BLOCK)
        library.mallopt(_M_TRIM_THRESHOLD, _BLOCK)
