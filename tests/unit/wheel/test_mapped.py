from __future__ import annotations

import errno
import mmap
import os
import tempfile
from typing import TYPE_CHECKING

import pytest

from deloc8.errors import SystemFault
from deloc8.wheel.mapped import mapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DATA = os.urandom(5000)
PIECES = [DATA[:2000], DATA[2000:]]


class Temporary:
    """A temporary file whose writing goes wrong."""

    def __init__(self) -> None:
        self._descriptor, path = tempfile.mkstemp()
        os.unlink(path)  # noqa: PTH108  a text
        self.write: Callable[[memoryview], int] = self.honest

    def honest(self, view: memoryview) -> int:
        return os.write(self._descriptor, view)

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        os.close(self._descriptor)
        raise OSError(errno.EIO, "closing tells nothing")


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Temporary:
    found = Temporary()
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: found)
    return found


def test_a_map_outlives_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = mapped(PIECES, len(DATA))
    assert isinstance(found, mmap.mmap)
    assert found[:] == DATA
    assert list(tmp_path.iterdir()) == []


def test_short_writes_are_gone_on_with(temporary: Temporary) -> None:
    temporary.write = lambda view: temporary.honest(view[:7])
    assert mapped(PIECES, len(DATA))[:] == DATA


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, "no-room"), (errno.EIO, "write-failed"), (errno.EDQUOT, "no-room")]
)
def test_a_temporary_file_that_cannot_be_written(temporary: Temporary, number: int, code: str) -> None:
    def fail(_: memoryview) -> int:
        raise OSError(number, os.strerror(number))

    temporary.write = fail
    with pytest.raises(SystemFault) as caught:
        mapped(PIECES, len(DATA))
    assert caught.value.code == code
    assert tempfile.gettempdir() in caught.value.message


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EMFILE, errno.EROFS])
def test_no_folder_for_temporary_files_is_a_fault_of_the_machine(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(**_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    with pytest.raises(SystemFault) as caught:
        mapped(PIECES, len(DATA))
    assert "TMPDIR" in caught.value.message


def test_where_files_cannot_be_mapped_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(mmap, "mmap", fail)
    assert bytes(mapped(PIECES, len(DATA))) == DATA
    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(SystemFault) as caught:
        mapped(PIECES, len(DATA))
    assert caught.value.code == "read-failed"


def test_a_fault_of_the_pieces_is_told_as_it_is() -> None:
    def pieces() -> Iterator[bytes]:
        yield DATA
        raise SystemFault("the wheel could not be read", code="read-failed")

    with pytest.raises(SystemFault, match="the wheel"):
        mapped(pieces(), len(DATA))
