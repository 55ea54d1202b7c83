"""Source packages of which a part comes into the wheel, and a part is the system's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deloc8.diagnostic import Severity
from deloc8.policy.releases import project_of
from deloc8.repair.provenance.owners import find_owners
from deloc8.report.to_text import show_text
from kit.bench import Bench
from kit.elf import Undefined
from kit.packages import dpkg_package

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from deloc8.diagnostic import Diagnostic
    from deloc8.loader.sysroot import Sysroot
    from deloc8.repair.model import Package
    from deloc8.repair.provenance.owners import Library

GLIBC = "libc.so.6"
GIO, GLIB, GOBJECT = "libgio-2.0.so.0", "libglib-2.0.so.0", "libgobject-2.0.so.0"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    for name, needed in {
        GLIB: (),
        GOBJECT: (GLIB,),
        GIO: (GLIB, GOBJECT),
        "libgfortran.so.5": ("libgcc_s.so.1",),
        "libgcc_s.so.1": (),
        "libfoo.so.1": (GLIB,),
        "libX11.so.6": (),
        "libX11-xcb.so.1": ("libX11.so.6",),
    }.items():
        bench.library(f"/usr/lib/{name}", needed=needed)
    return bench


def install(bench: Bench, package: str, source: str, *names: str) -> None:
    stanza = f"Package: {package}\nStatus: install ok installed\nArchitecture: amd64\nSource: {source}\nVersion: 1\n"
    dpkg_package(bench.system, package, [f"/usr/lib/{name}" for name in names], stanza)


def splits(notes: tuple[Diagnostic, ...]) -> list[Diagnostic]:
    return [note for note in notes if note.code == "split-package"]


def told(bench: Bench, *needed: str, **changes: object) -> list[Diagnostic]:
    """What a repair says."""
    return splits(bench.plan(bench.extension(needed=(*needed, GLIBC)), **changes).notes)


def test_half_a_glib_is_a_warning(bench: Bench) -> None:
    (warning,) = told(bench, GIO)
    assert (warning.severity, warning.subject) == (Severity.WARNING, GIO)
    assert warning.message == (
        f"a part of the source package glib comes into the wheel; the system is to provide {GLIB}, {GOBJECT}"
    )
    assert warning.hints == (f"to put all of it into the wheel, pass --graft '{GLIB}' --graft '{GOBJECT}'",)


def test_a_whole_one_is_none(bench: Bench) -> None:
    assert told(bench, GIO, graft=(GLIB, GOBJECT)) == []
    assert told(bench, GLIB) == []


def test_half_of_a_graft_is_one(bench: Bench) -> None:
    (warning,) = told(bench, GIO, graft=(GLIB,))
    assert warning.subject == f"{GIO}, {GLIB}"
    assert warning.message.endswith(f"the system is to provide {GOBJECT}")


def test_other_packages_are_known_by_the_database(bench: Bench) -> None:
    assert told(bench, "libgfortran.so.5") == []
    install(bench, "libgfortran5", "gcc-12", "libgfortran.so.5")
    install(bench, "libgcc-s1", "gcc-12 (12.2.0-14)", "libgcc_s.so.1")
    (note,) = told(bench, "libgfortran.so.5")
    assert (note.severity, note.subject) == (Severity.NOTE, "libgfortran.so.5")
    assert "source package gcc-12 comes into the wheel; the system is to provide libgcc_s.so.1" in note.message
    assert note.hints == ()
    assert "versions, which the loader compares" in note.context[0]


def test_libraries_of_different_packages_are_not_split(bench: Bench) -> None:
    install(bench, "libfoo1", "foo", "libfoo.so.1")
    install(bench, "libglib2.0-0", "glib2.0", GLIB)
    assert told(bench, "libfoo.so.1") == []


def test_one_that_belongs_to_no_known_package_is_not_split(bench: Bench) -> None:
    install(bench, "libglib2.0-0", "glib2.0", GLIB)
    assert told(bench, "libfoo.so.1") == []


def test_what_belongs_to_the_display_has_no_hint(bench: Bench) -> None:
    (warning,) = told(bench, "libX11-xcb.so.1")
    assert (warning.severity, warning.hints) == (Severity.WARNING, ())


def test_show_tells_it_too(bench: Bench) -> None:
    audit = bench.audit(bench.extension(needed=(GIO, GLIBC)))
    (warning,) = audit.splits
    assert warning.subject == GIO
    assert f"{GIO}: a part of the source package glib comes" in " ".join(show_text(audit).split())


def test_show_tells_those_with_versions_as_well(bench: Bench) -> None:
    install(bench, "libgfortran5", "gcc-12", "libgfortran.so.5")
    install(bench, "libgcc-s1", "gcc-12", "libgcc_s.so.1")
    wheel = bench.extension(needed=("libgfortran.so.5", GLIBC))
    (note,) = bench.audit(wheel).splits
    assert note == told(bench, "libgfortran.so.5")[0]
    assert "libgfortran.so.5: a part of the source package gcc-12 comes" in " ".join(
        show_text(bench.audit(wheel)).split()
    )


def test_one_that_is_left_out_on_request_is_told_too(bench: Bench) -> None:
    install(bench, "foo", "foo", "libfoo.so.1", "libfoo-more.so.1")
    bench.library("/usr/lib/libfoo-more.so.1")
    wheel = bench.extension(needed=("libfoo.so.1", "libfoo-more.so.1", GLIBC))
    (note,) = bench.audit(wheel, exclude=("libfoo-more.so.1",)).splits
    assert (
        note.message
        == "a part of the source package foo comes into the wheel; the system is to provide libfoo-more.so.1"
    )


@pytest.mark.parametrize("needed", [(), (GLIB,), ("libalone.so.1",)])
def test_show_asks_no_database_where_nothing_can_be_split(
    bench: Bench, needed: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.library("/usr/lib/libalone.so.1")
    monkeypatch.setattr("deloc8.repair.splits.find_owners", None)
    assert bench.audit(bench.extension(needed=(*needed, GLIBC))).splits == ()


def test_show_asks_only_for_libraries_of_the_same_project(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def watched(libraries: Sequence[Library], sysroot: Sysroot) -> Mapping[str, Package]:
        asked.extend(library.path for library in libraries)
        return find_owners(libraries, sysroot)

    monkeypatch.setattr("deloc8.repair.splits.find_owners", watched)
    install(bench, "libgfortran5", "gcc-12", "libgfortran.so.5")
    install(bench, "libgcc-s1", "gcc-12", "libgcc_s.so.1")
    wheel = bench.extension(needed=("libgfortran.so.5", "libfoo.so.1", GLIBC))
    assert [note.subject for note in bench.audit(wheel).splits] == ["libgfortran.so.5"]
    assert asked == ["/usr/lib/libgfortran.so.5", "/usr/lib/libgcc_s.so.1"]
    assert bench.audit(wheel).splits == tuple(told(bench, "libgfortran.so.5", "libfoo.so.1"))


@pytest.mark.parametrize(
    ("name", "project"),
    [
        ("libgcc_s.so.1", "gcc"), ("libstdc++.so.6", "gcc"), ("libgfortran.so.5", "gcc"), ("libgomp.so.1", "gcc"),
        ("libubsan.so.1", "gcc"), ("libgnat-12.so", "gcc"), ("libm2pim.so.17", "gcc"), ("libgo.so.21", "gcc"),
        ("libgio-2.0.so.0", "glib"), ("libX11.so.6", "libX11"), ("libgomp-extra.so.1", ""), ("libgoogle.so.1", ""),
    ],
)  # fmt: skip
def test_projects_are_known_by_the_names_of_their_libraries(name: str, project: str) -> None:
    assert project_of(name) == project


def test_a_part_of_glibc_beside_the_c_library_is_told(bench: Bench) -> None:
    bench.library("/usr/lib/libnsl.so.1", needed=(GLIBC,))
    bench.library(f"/usr/lib/{GLIBC}")
    install(bench, "libc6", "glibc", "libnsl.so.1", GLIBC)
    (note,) = told(bench, "libnsl.so.1", graft=("libnsl.so.1",))
    assert note.message.endswith("the source package glibc comes into the wheel; the system is to provide libc.so.6")


def test_show_has_nothing_to_tell_of_wheels_without_compiled_files(bench: Bench) -> None:
    assert bench.audit(bench.wheel({"demo/a.py": b""}, tags=("py3-none-any",))).splits == ()


def test_a_wheel_that_needs_a_compatibility_library_alone_splits_nothing(bench: Bench) -> None:
    stat = Undefined("stat", "GLIBC_2.33", GLIBC)
    wheel = bench.extension(needed=(GLIBC,), undefined=(stat,))
    assert splits(bench.plan(wheel, platform="manylinux_2_31", lower_glibc=True).notes) == []
