"""What can stand in the place of a file without being one, made without any privilege."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _socket(path: Path) -> None:
    # The name of a socket may have about a hundred bytes: it is bound below a short one.
    folder = os.open(path.parent, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def _pipe_behind_a_link(path: Path) -> None:
    pipe = path.with_name(path.name + ".pipe")
    os.mkfifo(pipe)
    path.symlink_to(pipe.name)


NO_FILES: Mapping[str, Callable[[Path], None]] = {
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "pipe behind a link": _pipe_behind_a_link,
    "socket": _socket,
    "device without end": lambda path: path.symlink_to("/dev/zero"),
    "device without contents": lambda path: path.symlink_to("/dev/null"),
}
"""What makes each at a path; those of devices lead out of a root."""

WORDS: Mapping[str, str] = {
    "folder": "it is a folder",
    "pipe": "it is a named pipe",
    "pipe behind a link": "it is a named pipe",
    "socket": "it is a socket",
    "device without end": "it is a device",
    "device without contents": "it is a device",
}
"""What deloc8 says of each."""
