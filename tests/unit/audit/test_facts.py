from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.audit import images
from deloc8.audit.facts import (
    REQUEST,
    Dependency,
    WantedVersion,
    WheelFacts,
    found_beforehand,
    gather,
    wanted_versions,
)
from deloc8.audit.images import Reading
from deloc8.audit.layout import SITE_PACKAGES, VIRTUAL_ROOT
from deloc8.elf.read.image import parse_counted
from deloc8.errors import ElfError, InputError, WheelError
from deloc8.loader.search import SearchOptions, Stage
from deloc8.target import Arch, Libc
from deloc8.wheel.archive import WheelArchive, open_wheel
from kit.elf import ET_EXEC, ET_REL, GLIBC, MACHINES, ElfSpec, NeedSpec, NoteSpec, Undefined, build_elf
from kit.scene import CORE, Scene, wants
from kit.system import image_of
from kit.wheels import build_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deloc8.elf.read.image import ElfImage
    from deloc8.elf.read.view import Buffer
    from deloc8.wheel.archive import Member

MUSL = ElfSpec(needed=("libc.musl-x86_64.so.1",))
LIBC = ElfSpec(needed=(GLIBC,))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def facts_of(
    scene: Scene,
    members: Mapping[str, ElfSpec | bytes],
    tag: str = "cp311-cp311-linux_x86_64",
    *,
    include: tuple[str, ...] = (),
    threads: int = 1,
) -> WheelFacts:
    path = scene.wheel(members, tags=(tag,))
    with open_wheel(path) as archive:
        return gather(archive, scene.system.sysroot, SearchOptions(), include=include, reading=Reading(threads=threads))


def row_of(facts: WheelFacts, member: str, name: str) -> Dependency:
    path = next(file.path for file in facts.own if file.member == member)
    return next(row for row in facts.dependencies[path] if row.name == name)


def test_wanted_versions_carry_the_symbols_bound_to_them() -> None:
    image = image_of(
        ElfSpec(
            needed=(GLIBC, "libm.so.6"),
            undefined=(
                Undefined("memcpy", "GLIBC_2.14", GLIBC),
                Undefined("pow", "GLIBC_2.29", "libm.so.6"),
                Undefined("memmove", "GLIBC_2.14", GLIBC),
                Undefined("PyList_New"),
            ),
            needs=(NeedSpec(GLIBC, "GLIBC_ABI_DT_RELR"),),
        )
    )
    assert wanted_versions(image) == (
        WantedVersion(library=GLIBC, version="GLIBC_2.14", symbols=("memcpy", "memmove")),
        WantedVersion(library=GLIBC, version="GLIBC_ABI_DT_RELR", symbols=()),
        WantedVersion(library="libm.so.6", version="GLIBC_2.29", symbols=("pow",)),
    )


def test_own_files_stand_in_the_order_of_the_archive(scene: Scene) -> None:
    facts = facts_of(scene, {"demo/b.so": LIBC, "demo/a.py": b"", "demo/a.so": LIBC, "demo-1.0.data/scripts/run": LIBC})
    assert [file.label for file in facts.own] == ["demo/b.so", "demo/a.so", "demo-1.0.data/scripts/run"]
    assert [file.path for file in facts.own][-1] == VIRTUAL_ROOT + "/bin/run"
    assert SITE_PACKAGES + "/demo/a.py" in facts.members
    assert facts.metadata_tags == ("cp311-cp311-linux_x86_64",)


def test_what_no_loader_loads_is_no_elf_file_of_the_wheel(scene: Scene) -> None:
    facts = facts_of(
        scene,
        {
            "demo/part.o": ElfSpec(type=ET_REL),
            "demo/short": b"\x7fELF",
            "demo/text.so": b"not an ELF file, though its name says so" * 2,
        },
    )
    assert facts.own == ()
    assert (facts.arch, facts.libc, facts.files, facts.dependencies) == (None, None, {}, {})


def test_programs_are_elf_files_of_the_wheel(scene: Scene) -> None:
    facts = facts_of(scene, {"demo-1.0.data/scripts/run": ElfSpec(type=ET_EXEC, dynamic=False)})
    assert [file.label for file in facts.own] == ["demo-1.0.data/scripts/run"]
    assert facts.libc is Libc.GLIBC


def test_elf_members_that_record_does_not_list_are_looked_at(scene: Scene) -> None:
    path = build_wheel(scene.folder, {CORE: build_elf(LIBC), "demo/b.so": build_elf(LIBC)}, record="unlisted")
    with open_wheel(path) as archive:
        facts = gather(archive, scene.system.sysroot, SearchOptions())
    assert [file.label for file in facts.own] == [CORE, "demo/b.so"]


def test_a_missing_system_library_and_one_that_is_there(scene: Scene) -> None:
    scene.system.library("/usr/lib/libfoo.so.1.2", ElfSpec(soname="libfoo.so.1", needed=(GLIBC,)))
    scene.system.symlink("/usr/lib/libfoo.so.1", "libfoo.so.1.2")
    facts = facts_of(scene, {CORE: ElfSpec(needed=("libfoo.so.1", "libbar.so", GLIBC))})
    foo = row_of(facts, CORE, "libfoo.so.1")
    assert foo.target == "/usr/lib/libfoo.so.1.2"
    assert facts.files[foo.target].label == "/usr/lib/libfoo.so.1.2"
    assert facts.files[foo.target].member is None
    assert [row.name for row in facts.dependencies[foo.target]] == [GLIBC]
    bar = row_of(facts, CORE, "libbar.so")
    assert bar.target is None
    assert "/usr/lib/libbar.so" in [attempt.path for attempt in bar.lookup.tried]


# -- the machine and the C library


def test_an_extension_that_needs_no_libc_is_taken_for_one_of_the_tags_libc(scene: Scene) -> None:
    """Line of the peers: an extension that needs no libc gave a traceback."""
    assert facts_of(scene, {CORE: ElfSpec()}).libc is Libc.GLIBC
    assert facts_of(scene, {CORE: ElfSpec()}, "cp311-cp311-musllinux_1_2_x86_64").libc is Libc.MUSL


def test_the_machine_is_the_one_that_the_name_says_where_files_for_it_are_there(scene: Scene) -> None:
    members = {"demo/a.so": MACHINES["aarch64"], "demo/b.so": MACHINES["aarch64"], "demo/c.so": ElfSpec()}
    facts = facts_of(scene, members)
    assert facts.arch is Arch.X86_64
    assert [(file.member, file.reason) for file in facts.foreign] == [
        ("demo/a.so", "is for aarch64"),
        ("demo/b.so", "is for aarch64"),
    ]
    assert facts_of(scene, members, "cp311-cp311-linux_ppc64le").arch is Arch.AARCH64
    assert facts_of(scene, members, "cp311-cp311-macosx_11_0_arm64").arch is Arch.AARCH64


def test_of_two_machines_with_as_many_files_the_first_by_name_counts(scene: Scene) -> None:
    members = {"demo/a.so": MACHINES["s390x"], "demo/b.so": MACHINES["riscv64"]}
    assert facts_of(scene, members).arch is Arch.RISCV64


def test_where_nothing_tells_the_libc_the_system_does(scene: Scene) -> None:
    scene.system.library("/lib/ld-musl-x86_64.so.1")
    assert facts_of(scene, {CORE: ElfSpec()}, "cp311-abi3-linux_x86_64").libc is Libc.MUSL
    assert facts_of(scene, {CORE: ElfSpec()}, "cp311-abi3-manylinux_2_17_x86_64").libc is Libc.GLIBC
    assert facts_of(scene, {CORE: LIBC}, "cp311-abi3-linux_x86_64").libc is Libc.GLIBC
    scene.system.library("/lib64/ld-linux-x86-64.so.2")
    assert facts_of(scene, {CORE: ElfSpec()}, "cp311-abi3-linux_x86_64").libc is Libc.GLIBC


def test_files_for_unknown_machines_are_foreign_beside_known_ones(scene: Scene) -> None:
    facts = facts_of(scene, {CORE: ElfSpec(), "demo/old.so": MACHINES["s390"]})
    assert [(file.member, file.reason) for file in facts.foreign] == [
        ("demo/old.so", "is for e_machine 22, 32 bit, big endian, e_flags 0x0")
    ]


def test_files_for_unknown_machines_alone_are_an_error(scene: Scene) -> None:
    with pytest.raises(WheelError) as caught:
        facts_of(scene, {CORE: replace(ElfSpec(), machine=8, flags=0x1007)})
    assert caught.value.code == "unknown-machine"
    assert caught.value.context == (f"`{CORE}` is e_machine 8, 64 bit, little endian, e_flags 0x1007",)


def test_the_libc_is_the_one_that_most_files_show(scene: Scene) -> None:
    facts = facts_of(scene, {"demo/a.so": MUSL, "demo/b.so": MUSL, "demo/c.so": LIBC, "demo/d.so": ElfSpec()})
    assert facts.libc is Libc.MUSL
    assert [file.label for file in facts.own] == ["demo/a.so", "demo/b.so", "demo/d.so"]
    assert [(file.member, file.reason) for file in facts.foreign] == [("demo/c.so", "was linked against glibc")]


def test_the_promised_libc_counts_where_a_file_shows_it(scene: Scene) -> None:
    members = {"demo/a.so": MUSL, "demo/b.so": MUSL, "demo/c.so": LIBC}
    assert facts_of(scene, members, "cp311-cp311-manylinux_2_17_x86_64").libc is Libc.GLIBC
    assert facts_of(scene, {"demo/a.so": MUSL}, "cp311-cp311-manylinux_2_17_x86_64").libc is Libc.MUSL


def test_an_android_file_is_known_by_its_note(scene: Scene) -> None:
    spec = replace(MACHINES["aarch64"], needed=("libc.so",), notes=(NoteSpec("Android", 1, b"\x18\0\0\0"),))
    assert facts_of(scene, {CORE: spec}).libc is Libc.ANDROID


# -- what is unsound


def test_elf_files_in_purelib_are_an_error_that_names_them_all(scene: Scene) -> None:
    places = ["demo-1.0.data/purelib/demo/a.so", "demo-1.0.data/purelib/demo/b.so"]
    with pytest.raises(WheelError) as caught:
        facts_of(scene, {**dict.fromkeys(places, LIBC), CORE: LIBC})
    assert caught.value.code == "elf-in-purelib"
    assert list(caught.value.context) == places


BROKEN = "demo/broken.abi3.so"
CORRUPT = build_elf(LIBC)[:120]


def test_a_truncated_elf_member_is_named(scene: Scene) -> None:
    """Line of the peers: a truncated ELF file gave a traceback."""
    with pytest.raises(ElfError) as caught:
        facts_of(scene, {BROKEN: CORRUPT, "demo/good.so": LIBC})
    assert BROKEN in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("threads", [1, 4])
def test_all_unsound_elf_members_are_named(scene: Scene, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    monkeypatch.setattr(images, "_LITTLE", 1000)
    with pytest.raises(ElfError) as caught:
        facts_of(scene, {"demo/a.abi3.so": CORRUPT, "demo/b.so": LIBC, "demo/c.abi3.so": CORRUPT}, threads=threads)
    assert caught.value.message == "2 ELF files of the wheel are not sound"
    heads = [line for line in caught.value.context if not line.startswith("  ")]
    assert len(heads) == 2
    assert "demo/a.abi3.so" in heads[0]
    assert "demo/c.abi3.so" in heads[1]


# -- libraries that travel in the wheel


def test_a_library_of_the_wheel_is_found_by_a_search_path(scene: Scene) -> None:
    facts = facts_of(
        scene,
        {
            CORE: ElfSpec(needed=("libown.so.1", GLIBC), rpath="$ORIGIN/../demo.libs"),
            "demo.libs/libown.so.1": ElfSpec(soname="libown.so.1", needed=("libdeep.so", GLIBC)),
            "demo.libs/libdeep.so": ElfSpec(soname="libdeep.so"),
        },
    )
    row = row_of(facts, CORE, "libown.so.1")
    assert row.target == SITE_PACKAGES + "/demo.libs/libown.so.1"
    assert not found_beforehand(row)
    # Alone the library would not find its neighbour; the extension module's DT_RPATH leads it there.
    deep = row_of(facts, "demo.libs/libown.so.1", "libdeep.so")
    assert deep.target == SITE_PACKAGES + "/demo.libs/libdeep.so"
    assert not found_beforehand(deep)
    assert set(facts.files) == {file.path for file in facts.own} | {"/usr/lib/libc.so.6"}


def test_the_better_answer_stays_whichever_comes_first(scene: Scene) -> None:
    members: dict[str, ElfSpec | bytes] = {
        "demo.libs/libown.so.1": ElfSpec(soname="libown.so.1", needed=("libdeep.so",)),
        "demo.libs/libdeep.so": ElfSpec(soname="libdeep.so"),
        CORE: ElfSpec(needed=("libown.so.1",), rpath="$ORIGIN/../demo.libs"),
    }
    for order in (members, dict(reversed(members.items()))):
        assert not found_beforehand(row_of(facts_of(scene, order), "demo.libs/libown.so.1", "libdeep.so"))


def test_a_library_of_the_wheel_is_found_by_its_soname_alone(scene: Scene) -> None:
    facts = facts_of(
        scene,
        {
            CORE: ElfSpec(needed=("libown.so.1", GLIBC)),
            "demo/hidden/own.so": ElfSpec(soname="libown.so.1", needed=(GLIBC,)),
        },
    )
    row = row_of(facts, CORE, "libown.so.1")
    assert row.target == SITE_PACKAGES + "/demo/hidden/own.so"
    assert found_beforehand(row)
    assert row.lookup.origin is not None
    assert row.lookup.origin.stage is Stage.OWN


def test_a_library_without_soname_is_found_by_its_file_name(scene: Scene) -> None:
    facts = facts_of(scene, {CORE: ElfSpec(needed=("libown.so.1",)), "demo/hidden/libown.so.1": ElfSpec()})
    assert row_of(facts, CORE, "libown.so.1").target == SITE_PACKAGES + "/demo/hidden/libown.so.1"


def test_of_two_libraries_with_one_soname_the_first_is_taken(scene: Scene) -> None:
    facts = facts_of(
        scene,
        {
            CORE: ElfSpec(needed=("libown.so.1",)),
            "demo/one.so": ElfSpec(soname="libown.so.1"),
            "demo/two.so": ElfSpec(soname="libown.so.1"),
        },
    )
    assert row_of(facts, CORE, "libown.so.1").target == SITE_PACKAGES + "/demo/one.so"


def test_of_two_libraries_with_one_soname_each_file_takes_the_one_on_its_search_path(scene: Scene) -> None:
    """Line of the peers: two libraries with one SONAME collided."""
    own = ElfSpec(soname="libown.so.1")
    facts = facts_of(
        scene,
        {
            "demo/a.so": ElfSpec(needed=("libown.so.1",), runpath="$ORIGIN/a"),
            "demo/b.so": ElfSpec(needed=("libown.so.1",), runpath="$ORIGIN/b"),
            "demo/a/libown.so.1": own,
            "demo/b/libown.so.1": own,
        },
    )
    assert row_of(facts, "demo/a.so", "libown.so.1").target == SITE_PACKAGES + "/demo/a/libown.so.1"
    assert row_of(facts, "demo/b.so", "libown.so.1").target == SITE_PACKAGES + "/demo/b/libown.so.1"


def test_a_runpath_is_not_inherited_and_an_rpath_is(scene: Scene) -> None:
    """Line of the peers: RPATH inheritance differed from ld.so."""
    libraries: dict[str, ElfSpec | bytes] = {
        "x/libone.so": ElfSpec(soname="libone.so", needed=("libtwo.so",)),
    }
    scene.system.library("/opt/libtwo.so", ElfSpec(soname="libtwo.so"))
    inherits = facts_of(scene, {CORE: ElfSpec(needed=("libone.so",), rpath="$ORIGIN/../x:/opt"), **libraries})
    assert row_of(inherits, "x/libone.so", "libtwo.so").target == "/opt/libtwo.so"
    alone = facts_of(scene, {CORE: ElfSpec(needed=("libone.so",), runpath="$ORIGIN/../x:/opt"), **libraries})
    assert row_of(alone, "x/libone.so", "libtwo.so").target is None


def test_a_program_is_no_library_to_be_found(scene: Scene) -> None:
    facts = facts_of(scene, {CORE: ElfSpec(needed=("tool",)), "demo/bin/tool": ElfSpec(type=ET_EXEC)})
    assert row_of(facts, CORE, "tool").target is None


# -- options


def test_threads_change_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_LITTLE", 1000)
    members: dict[str, ElfSpec | bytes] = {f"demo/m{n}.so": wants(f"GLIBC_2.{n + 2}") for n in range(20)}
    one, many = facts_of(scene, members), facts_of(scene, members, threads=4)
    assert one == many
    assert list(one.files) == list(many.files)


@pytest.mark.parametrize(("limit", "shared"), [(1 << 20, False), (1000, True)])
def test_threads_are_for_more_than_a_little(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, limit: int, *, shared: bool
) -> None:
    monkeypatch.setattr(images, "_LITTLE", limit)
    workers = set()
    others = threading.Barrier(2)

    def watched(data: Buffer, label: str) -> tuple[ElfImage, int]:
        workers.add(threading.current_thread())
        if shared:
            others.wait(20)  # or the first thread could be done before the others have begun
        return parse_counted(data, label)

    monkeypatch.setattr(images, "parse_counted", watched)
    facts_of(scene, {f"demo/m{n}.so": LIBC for n in range(8)}, threads=3)
    assert (workers != {threading.main_thread()}) is shared


def test_requested_libraries_hang_on_a_file_that_no_wheel_has(scene: Scene) -> None:
    scene.system.library("/opt/libplugin.so", ElfSpec(soname="libplugin.so", needed=("libdeep.so",)))
    scene.system.library("/usr/lib/libdeep.so", ElfSpec(soname="libdeep.so"))
    facts = facts_of(scene, {CORE: LIBC}, include=("/opt/libplugin.so",))
    assert [(row.name, row.target) for row in facts.dependencies[REQUEST]] == [
        ("/opt/libplugin.so", "/opt/libplugin.so")
    ]
    assert [row.target for row in facts.dependencies["/opt/libplugin.so"]] == ["/usr/lib/libdeep.so"]
    assert facts.files[REQUEST].label == "--include"
    assert REQUEST not in {file.path for file in facts.own}


def test_a_requested_library_that_is_nowhere_is_an_error_that_tells_where_it_was_looked_for(scene: Scene) -> None:
    with pytest.raises(InputError) as caught:
        facts_of(scene, {CORE: LIBC}, include=("libnowhere.so",))
    assert caught.value.code == "include-not-found"
    assert "libnowhere.so: /usr/lib/libnowhere.so: missing" in caught.value.context


def test_members_that_are_known_to_be_no_elf_files_are_not_looked_at(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = scene.wheel({CORE: LIBC, "demo/data": bytes(1000)})
    peeked = []
    peek = WheelArchive.peek

    def look(self: WheelArchive, member: Member, size: int = 4) -> bytes:
        peeked.append(member.name)
        return peek(self, member, size)

    monkeypatch.setattr(WheelArchive, "peek", look)
    with open_wheel(path) as archive:
        reading = Reading(others=frozenset(member.name for member in archive.members if member.name != CORE))
        assert list(images.read_images(archive, reading).sound) == [CORE]
    assert peeked == [CORE]


def test_libraries_that_find_each_other_alike_in_every_graph_are_told_once(scene: Scene) -> None:
    scene.system.library("/usr/lib/libfoo.so.1", ElfSpec(soname="libfoo.so.1", needed=(GLIBC,)))
    needs = ElfSpec(needed=("libfoo.so.1", GLIBC))
    facts = facts_of(scene, {CORE: needs, "demo/other.so": needs})
    one, other = row_of(facts, CORE, "libfoo.so.1"), row_of(facts, "demo/other.so", "libfoo.so.1")
    assert one.lookup is other.lookup
    (row,) = facts.dependencies["/usr/lib/libfoo.so.1"]
    assert (row.name, row.target) == (GLIBC, "/usr/lib/libc.so.6")
