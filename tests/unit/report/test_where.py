from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deloc8.report.where import where_text, where_value
from kit.elf import GLIBC, ElfSpec, Undefined
from kit.scene import Scene, wants

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_line_for_each_family_and_each_reason_once(scene: Scene) -> None:
    text = where_text(scene.judge(wants("GLIBC_2.29")))
    assert text == (
        "As it stands, the wheel runs on these distributions, by what their\n"
        "libc and C++ runtime offer:\n"
        "\n"
        "  Debian 11 and newer; not 10: use0@GLIBC_2.29 from libc.so.6, used by\n"
        "    demo/_core.so\n"
        "  Ubuntu 20.04 and newer; not 18.04, for the same reason\n"
        "  RHEL 9 and newer (AlmaLinux, Rocky Linux, Oracle Linux alike); not\n"
        "    8, for the same reason\n"
        "  Fedora 30 and newer; not 29, for the same reason\n"
        "  SLES 15.3 and newer; not 15.2, for the same reason\n"
        "  openSUSE Leap 15.3 and newer; not 15.2, for the same reason\n"
        "  Amazon Linux 2023 and newer; not 2, for the same reason"
    )


def test_a_family_that_it_does_not_run_on_and_one_that_is_not_known(scene: Scene) -> None:
    spec = ElfSpec(needed=("libstdc++.so.6", GLIBC), undefined=(Undefined("new", "GLIBCXX_3.4.33", "libstdc++.so.6"),))
    lines = where_text(scene.judge(spec)).splitlines()
    assert "  what SLES 16.0 offers of GLIBCXX is not known" in lines
    assert "  Amazon Linux 2023 and newer; not 2, for the same reason" in lines
    nowhere = where_text(scene.judge(wants("GLIBC_2.99", needed=("libno.so",)))).splitlines()
    assert nowhere[0] == "Beside the libraries that it needs, the wheel as it stands runs on"
    assert "  not Debian 13: use0@GLIBC_2.99 from libc.so.6, used by demo/_core.so" in nowhere
    assert "  not Amazon Linux 2023, for the same reason" in nowhere


def test_a_repaired_wheel_is_called_so(scene: Scene) -> None:
    scene.system.library("/usr/lib/libfoo.so.1", wants("GLIBC_2.27", soname="libfoo.so.1"))
    audit = scene.judge(wants("GLIBC_2.5", needed=("libfoo.so.1",)))
    assert where_text(audit).startswith('As `deloc8 fixup` makes it for "manylinux_2_27_x86_64", the wheel runs\non')
    assert where_value(audit)["repaired_to"] == "manylinux_2_27_x86_64"


def test_every_release_with_its_dates(scene: Scene) -> None:
    lines = where_text(scene.judge(wants("GLIBC_2.35", "GLIBC_ABI_DT_RELR")), verbose=True).splitlines()
    assert "  Debian 11: no, use0@GLIBC_2.35; supported until 2024-08-14; by some until 2026-08-31" in lines
    assert "  Debian 12: yes; supported until 2026-07-11; by some until 2028-06-30" in lines
    assert "  Arch Linux rolling: yes" in lines
    assert "  Void Linux (glibc) rolling: unknown, use1@GLIBC_ABI_DT_RELR" in lines


def test_every_release_for_programs(scene: Scene) -> None:
    value = where_value(scene.judge(wants("GLIBC_2.29")))
    assert value["repaired_to"] is None
    rows = value["releases"]
    assert isinstance(rows, list)
    assert {
        "name": "RHEL 8",
        "runs": False,
        "lacks": "use0@GLIBC_2.29",
        "eol": "2029-05-31",
        "extended_eol": "2033-05-31",
    } in rows
    assert {
        "name": "Debian 13",
        "runs": True,
        "lacks": None,
        "eol": "2028-08-09",
        "extended_eol": "2030-06-30",
    } in rows


def test_nothing_is_said_where_no_distribution_is_known(scene: Scene) -> None:
    audit = scene.judge(ElfSpec(needed=("libc.so", "libdl.so"), interpreter="/system/bin/linker64"))
    assert where_text(audit) == ""
    assert "distributions" not in where_text(audit, verbose=True)
