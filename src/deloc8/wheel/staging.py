"""A file that appears whole or not at all: written beside its place, then renamed into it."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from itertools import takewhile
from typing import TYPE_CHECKING

from deloc8.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Stage:
    """A temporary file beside its place.

    Attributes:
        path: Where to write.
        place: Where it will stand.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.path = place.with_name(f".deloc8-{secrets.token_hex(8)}.tmp")

    def commit(self) -> None:
        """Put the file into its place, replacing what stands there in one step."""
        os.replace(self.path, self.place)  # noqa: PTH105  `Path.replace` would do the same


@contextmanager
def stage(place: Path) -> Iterator[Stage]:
    """A stage for a file; its folder is made where it is missing, and nothing of it stays without a commit.

    Raises:
        InputError: The file system refuses; the folder is removed again if it was made for nothing.
    """
    made: list[Path] = []
    try:
        made += takewhile(lambda folder: not folder.exists(), (place.parent, *place.parent.parents))
        place.parent.mkdir(parents=True, exist_ok=True)
        staged = Stage(place)
        try:
            yield staged
        finally:
            staged.path.unlink(missing_ok=True)
    except OSError as error:
        _remove(made)
        raise InputError(
            f"`{place}` cannot be written",
            code="unwritable-output",
            context=(error.strerror or str(error),),
            hints=("make room or give a folder that you may write to with -w",),
        ) from error
    except BaseException:
        _remove(made)
        raise


def _remove(made: list[Path]) -> None:
    """Remove the folders that were made, innermost first, as far as they are empty."""
    for folder in made:
        try:
            folder.rmdir()
        except OSError:
            return
