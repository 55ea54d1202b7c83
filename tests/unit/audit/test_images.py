"""The ELF files of a wheel, read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deloc8.audit.images import Reading, read_images
from deloc8.errors import WheelError
from deloc8.wheel.archive import WheelArchive, open_wheel
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.wheel.codec import Buffer
    from deloc8.wheel.zipformat import Member


@pytest.mark.parametrize("threads", [1, 3])
def test_a_damaged_member_is_the_error_of_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    wheel = Scene(tmp_path).wheel({CORE: wants("GLIBC_2.5"), "demo/a.so": wants("GLIBC_2.6")})
    read = WheelArchive.read

    def fail(self: WheelArchive, one: Member) -> Buffer:
        if one.name == "demo/a.so":
            raise WheelError("damaged", code="bad-member-data")
        return read(self, one)

    monkeypatch.setattr(WheelArchive, "read", fail)
    with open_wheel(wheel) as archive, pytest.raises(WheelError, match="damaged"):
        read_images(archive, Reading(threads=threads))
