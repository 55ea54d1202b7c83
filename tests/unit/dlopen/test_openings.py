from __future__ import annotations

import json
import sys
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.audit.notices import notices
from deloc8.diagnostic import Severity
from deloc8.dlopen import budget
from deloc8.dlopen.budget import Unsearched
from deloc8.dlopen.openings import Confidence, Opening, Resolution, Source
from deloc8.dlopen.python_files import read_sources
from deloc8.errors import InputError
from deloc8.loader.sysroot import Overlay, Sysroot
from deloc8.repair.model import Goal
from deloc8.report.dlopened import opening_value, openings_text
from deloc8.report.to_text import show_text
from deloc8.wheel.archive import open_wheel
from deloc8.workflow.audit import AuditOptions, audit_wheel
from deloc8.workflow.check import check_wheel
from deloc8.workflow.repair import plan_repair
from kit.elf import ElfSpec, NoteSpec, Undefined, build_elf
from kit.scene import CORE, Scene, wants

if TYPE_CHECKING:
    from pathlib import Path

CALLS = b"import ctypes, os, ctypes.util\n"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    scene.system.library("/usr/lib/libfoo.so.1", ElfSpec(soname="libfoo.so.1"))
    return scene


def declaring(*entries: object) -> ElfSpec:
    note = NoteSpec("FDO", 0x407C0C0A, json.dumps(entries).encode() + b"\0")
    return wants("GLIBC_2.5", notes=(note,), runpath="$ORIGIN/../demo.libs")


def openings(scene: Scene, core: ElfSpec, code: bytes = b"", **more: bytes | ElfSpec) -> tuple[Opening, ...]:
    members = {CORE: core, "demo/lib.py": code, **{f"demo.libs/{name}.so.1": data for name, data in more.items()}}
    found = scene.audit(members).openings
    assert found is not None
    return found


def called(scene: Scene, argument: str, core: ElfSpec | None = None) -> Opening:
    libx = ElfSpec(soname="libx.so.1")
    (found,) = openings(scene, core or wants("GLIBC_2.5"), CALLS + f"ctypes.CDLL({argument})".encode(), libx=libx)
    assert (found.place, found.line, found.confidence) == ("demo/lib.py", 2, Confidence.CALLED)
    return found


def test_declarations(scene: Scene) -> None:
    core = declaring(
        {"soname": ["libno.so.2", "libx.so.1"], "priority": "required"},
        {"soname": ["libfoo.so.1"]},
        {"soname": [1]},
        {"soname": "libno.so"},
        "libno.so",
    )
    first, second = openings(scene, core, libx=ElfSpec(soname="libx.so.1"))
    assert (first.place, first.line, first.names) == (CORE, None, ("libno.so.2", "libx.so.1"))
    assert (first.confidence, first.priority) == (Confidence.DECLARED, "required")
    assert first.resolution == Resolution(source=Source.MEMBER, target="demo.libs/libx.so.1")
    assert second.priority == "recommended"
    assert second.resolution == Resolution(source=Source.SYSTEM, target="/usr/lib/libfoo.so.1")


def test_a_note_of_another_shape_declares_nothing(scene: Scene) -> None:
    notes = (NoteSpec("FDO", 0x407C0C0A, b"{}"), NoteSpec("FDO", 0x407C0C0A, b"["), NoteSpec("FDO", 1, b"[]"))
    assert openings(scene, wants("GLIBC_2.5", notes=notes)) == ()


@pytest.mark.parametrize("name", ["", "lib\0.so", "lib\ud800.so", "x" * 5000])
def test_names_that_no_system_has(scene: Scene, name: str) -> None:
    (found,) = openings(scene, declaring({"soname": [name]}))
    assert found.resolution == Resolution(source=Source.NOTHING)


@pytest.mark.parametrize(
    ("argument", "name", "source", "target"),
    [
        ("'libfoo.so.1'", "libfoo.so.1", Source.SYSTEM, "/usr/lib/libfoo.so.1"),
        ("'/usr/lib/libfoo.so.1'", "/usr/lib/libfoo.so.1", Source.SYSTEM, "/usr/lib/libfoo.so.1"),
        ("'libc.so.6'", "libc.so.6", Source.POLICY, "libc.so.6"),
        ("'libno.so'", "libno.so", Source.NOTHING, None),
        ("'./libfoo.so.1'", "./libfoo.so.1", Source.NOTHING, None),
        ("'lib/libfoo.so.1'", "lib/libfoo.so.1", Source.NOTHING, None),
        ("__file__ + '/../_core.so'", "demo/_core.so", Source.MEMBER, "demo/_core.so"),
        ("os.path.dirname(__file__) + '/no.so'", "demo/no.so", Source.NOTHING, None),
        ("'libx.so.1'", "libx.so.1", Source.MEMBER, "demo.libs/libx.so.1"),
    ],
)
def test_calls(scene: Scene, argument: str, name: str, source: Source, target: str | None) -> None:
    found = called(scene, argument)
    assert (found.names, found.resolution) == ((name,), Resolution(source=source, target=target))


@pytest.mark.parametrize(
    ("name", "source", "target"),
    [
        ("foo", Source.SYSTEM, "/usr/lib/libfoo.so.1"),
        ("m", Source.POLICY, "libm.so.6"),
        ("x", Source.NOTHING, None),
        ("broken", Source.NOTHING, None),
    ],
)
def test_find_library(scene: Scene, name: str, source: Source, target: str | None) -> None:
    scene.system.write("/usr/lib/libbroken.so", "no library\n")
    code = CALLS + f"ctypes.util.find_library({name!r})\n".encode() * 2
    first, second = openings(scene, wants("GLIBC_2.5"), code, libx=ElfSpec(soname="libx.so.1"))
    assert (first.line, second.line, first.names) == (2, 3, (f"lib{name}.so*",))
    assert first.resolution == second.resolution == Resolution(source=source, target=target)


def test_the_whitelist_counts_where_no_named_policy_can_be_reached(scene: Scene) -> None:
    assert called(scene, "'libc.so.6'", wants("GLIBC_PRIVATE")).resolution.source is Source.POLICY


def test_files_that_are_passed_over(scene: Scene) -> None:
    call = CALLS + b"ctypes.CDLL('libno.so')\n"
    big = call + b"#" * (1 << 20)
    members: dict[str, bytes | ElfSpec] = {
        CORE: wants("GLIBC_2.5"),
        "demo/a.txt": call,
        "demo/b.py": big,
        "demo/c.py": b"CDLL",
        "demo/d.py": b"def find_library(name):\n    'like dlopen'\n",
    }
    assert scene.audit(members).openings == ()


def test_a_damaged_file_is_passed_over(scene: Scene) -> None:
    wheel = scene.wheel({CORE: wants("GLIBC_2.5"), "demo/lib.py": CALLS + b"ctypes.CDLL('libno.so')\n"})
    with zipfile.ZipFile(wheel) as archive:
        entry = archive.getinfo("demo/lib.py")
    data = bytearray(wheel.read_bytes())
    data[entry.header_offset + 30 + len(entry.filename) + entry.compress_size - 3] ^= 0xFF
    wheel.write_bytes(data)
    assert audit_wheel(wheel, AuditOptions(sysroot=scene.root)).openings == ()


def test_nobody_looks_where_it_is_not_asked_for(scene: Scene) -> None:
    assert scene.judge(wants("GLIBC_2.5"), dlopen=False).openings is None


def test_a_call_by_another_name(scene: Scene) -> None:
    code = b"from ctypes import CDLL as \\\n  Load\nLoad('libno.so')\n"
    (found,) = openings(scene, wants("GLIBC_2.5"), code)
    assert (found.line, found.names) == (3, ("libno.so",))


def test_a_word_that_the_specification_does_not_know_is_its_default(scene: Scene) -> None:
    words: tuple[object, ...] = ("\x1b[31m\nnow", "", 1, None, ["required"])
    found = openings(scene, declaring(*({"soname": ["libno.so"], "priority": word} for word in words)))
    assert {opening.priority for opening in found} == {"recommended"}


def test_check_warns_where_python_asks_by_name_for_a_library_of_the_wheel(scene: Scene) -> None:
    members: dict[str, bytes | ElfSpec] = {
        CORE: declaring({"soname": ["libx.so.1"]}),
        "demo.libs/libx.so.1": ElfSpec(soname="libx.so.1"),
        "demo/lib.py": CALLS + b"ctypes.CDLL('libx.so.1')\n",
    }
    wheel = scene.wheel(members, tags=("cp311-cp311-manylinux_2_17_x86_64",))
    found = [f for f in check_wheel(wheel, AuditOptions(sysroot=scene.root)) if f.code == "dlopened-library-missing"]
    assert [(f.subject, f.message) for f in found] == [
        (
            "demo/lib.py",
            "opens libx.so.1 at run time, which is found only if a file of the wheel has loaded it before",
        )
    ]


def test_check_warns_of_what_would_not_be_found(scene: Scene) -> None:
    core = declaring(
        {"soname": ["libno.so.1", "libfoo.so.1"], "priority": "required"},
        {"soname": ["libno.so.2"], "priority": "suggested"},
        {"soname": ["libcuda.so.1"]},
        {"soname": ["libc.so.6"]},
    )
    code = CALLS + b"ctypes.CDLL('/opt/libno.so')\nctypes.util.find_library('no')\nctypes.CDLL('libno.so')\n"
    wheel = scene.wheel({CORE: core, "demo/lib.py": code}, tags=("cp311-cp311-manylinux_2_17_x86_64",))
    found = [f for f in check_wheel(wheel, AuditOptions(sysroot=scene.root)) if f.code == "dlopened-library-missing"]
    assert [(f.subject, f.context) for f in found] == [
        (CORE, (f"declared in {CORE}",)),
        ("demo/lib.py", ("called in demo/lib.py, line 4",)),
    ]
    assert found[0].message.startswith("opens libno.so.1 or libfoo.so.1 at run time")
    assert not [f for f in check_wheel(wheel, AuditOptions(sysroot=scene.root, dlopen=False)) if "dlopen" in f.code]


def test_what_may_fail_is_told_and_not_warned_of(scene: Scene) -> None:
    code = CALLS + b"try:\n    ctypes.CDLL('libno.so')\nexcept OSError:\n    pass\n"
    (found,) = openings(scene, wants("GLIBC_2.5"), code)
    assert found.is_optional
    assert "opens libno.so (called, may fail)" in openings_text([found], verbose=False)
    wheel = scene.wheel({CORE: wants("GLIBC_2.5"), "demo/lib.py": code})
    assert not [f for f in check_wheel(wheel, AuditOptions(sysroot=scene.root)) if "dlopen" in f.code]


def test_suffixes_apart_from_names_are_read(scene: Scene) -> None:
    code = b"import ctypes, sys\next = {'linux': 'so', 'win32': 'dll'}[sys.platform]\nctypes.CDLL(f'libno.{ext}')\n"
    (found,) = openings(scene, wants("GLIBC_2.5"), code)
    assert found.names == ("libno.so",)


def test_numpys_function_adds_the_suffix(scene: Scene) -> None:
    code = b"from numpy.ctypeslib import load_library\nload_library('libx', __file__)\n"
    (found,) = openings(scene, wants("GLIBC_2.5"), code)
    assert found.names == ("demo/libx.so",)
    assert openings(scene, wants("GLIBC_2.5"), b"from mine import load_library\nload_library('libx.so')\n") == ()


OPENER = ElfSpec(
    soname="libself.so.1",
    needed=("libfoo.so.1", "libc.so.6"),
    undefined=(Undefined("dlopen", "GLIBC_2.2.5", "libc.so.6"),),
    runpath="$ORIGIN/../demo.libs",
    payload=b"\0libx.so.1\0libno.so.2\0lib%s.so\0libx.so.1\0see libx.so\0.so\0libfoo.so.1\0/opt/p.so\0_core.so\0",
)


def test_names_in_a_file_that_opens_libraries_are_mentioned(scene: Scene) -> None:
    found = openings(scene, OPENER, libx=ElfSpec(soname="libx.so.1"))
    assert [(row.names, row.resolution.source) for row in found] == [
        (("libx.so.1",), Source.MEMBER),
        (("libno.so.2",), Source.NOTHING),
        (("/opt/p.so",), Source.NOTHING),
    ]
    data = build_elf(OPENER)
    assert [row.offset for row in found] == [data.index(name) for name in (b"libx.so.1", b"libno.so.2", b"/opt/p.so")]
    assert {row.confidence for row in found} == {Confidence.MENTIONED}
    text = openings_text(found, verbose=False)
    assert f"  demo/_core.so at {found[0].offset:#x} mentions libx.so.1 (mentioned)\n" in text
    assert openings(scene, replace(OPENER, undefined=())) == ()


def test_check_does_not_warn_of_mentions(scene: Scene) -> None:
    wheel = scene.wheel({CORE: OPENER})
    assert not [f for f in check_wheel(wheel, AuditOptions(sysroot=scene.root)) if "dlopen" in f.code]


def test_only_so_many_are_looked_at(scene: Scene) -> None:
    audit = scene.audit({CORE: declaring(*({"soname": [f"lib{n}.so", *"a" * 100]} for n in range(2100)))})
    assert audit.openings is not None
    assert len(audit.openings) == 2000
    assert len(audit.openings[0].names) == 64
    reason = "what is declared from here on is not listed: it is more than 2,000"
    assert audit.unsearched == (Unsearched(CORE, reason),)


CALL = CALLS + b"ctypes.CDLL('libno.so')\n"
LARGE = CALL + b"#" * (1 << 20)


def unsearched(scene: Scene, members: dict[str, bytes]) -> list[tuple[str, str]]:
    audit = scene.audit({CORE: wants("GLIBC_2.5"), **members})
    return [(row.place, row.reason) for row in audit.unsearched]


def test_what_may_open_libraries_and_is_not_searched_is_told(scene: Scene) -> None:
    members = {
        "demo/a.py": LARGE,
        "demo/b.py": b"#" * (2 << 20),
        "demo/c.py": b"#" * ((16 << 20) + 1),
        "demo/d.py": CALLS + b"ctypes.CDLL('libno.so'\n",
        "demo/e.py": CALL + b"# \xe9",
        "demo/f.py": b"(" * 1000,
    }
    version = ".".join(map(str, sys.version_info[:2]))
    assert unsearched(scene, members) == [
        ("demo/a.py", "it is larger than 1 MiB"),
        ("demo/c.py", "it is larger than 16 MiB"),
        ("demo/d.py", f"it is not valid for Python {version} (line 2)"),
        ("demo/e.py", "it is not UTF-8"),
    ]


def test_check_show_and_fixup_tell_it(scene: Scene) -> None:
    wheel = scene.wheel({CORE: wants("GLIBC_2.5"), "demo/lib.py": LARGE})
    options = AuditOptions(sysroot=scene.root)
    (found,) = [found for found in check_wheel(wheel, options) if found.code == "search-incomplete"]
    assert (found.severity, found.subject, found.context) == (
        Severity.WARNING,
        "demo/lib.py",
        ("it is larger than 1 MiB",),
    )
    audit = audit_wheel(wheel, options)
    assert found in notices(audit, audit.outlook)
    assert "demo/lib.py: was not searched, or not to its end" in show_text(audit, verbose=False)
    assert found in plan_repair(wheel, Goal(), options).notes
    with_openings = plan_repair(wheel, Goal(), replace(options, include_dlopened="called"))
    assert found in with_openings.notes


def test_of_many_files_ten_are_named(scene: Scene) -> None:
    members = {f"demo/l{number:02}.py": CALL + b"(" for number in range(12)}
    audit = scene.audit({CORE: wants("GLIBC_2.5"), **members})
    found = [notice for notice in notices(audit, audit.outlook) if notice.code == "search-incomplete"]
    assert [notice.subject for notice in found] == [f"demo/l{number:02}.py" for number in range(10)]
    assert [len(notice.context) for notice in found] == [1] * 9 + [2]
    assert found[9].context[1] == "so were 2 more"
    audit = replace(audit, unsearched=audit.unsearched[:11])
    assert notices(audit, audit.outlook)[-1].context[1] == "so was 1 more"


ENDLESS = (
    CALLS
    + b"a0 = 'a'\n"
    + b"".join(b"a%d = a%d + a%d\n" % (n + 1, n, n) for n in range(39))
    + b"ctypes.CDLL(a39 + '.so')"
)


def test_a_file_that_takes_too_long_hides_no_other(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "_UNITS_OF_ONE_FILE", 20_000)
    monkeypatch.setattr(budget, "_BETWEEN_LOOKS", 1000)
    audit = scene.audit({CORE: wants("GLIBC_2.5"), "demo/a.py": ENDLESS, "demo/b.py": CALL})
    assert [opening.place for opening in audit.openings or ()] == ["demo/b.py"]
    assert audit.unsearched == (Unsearched("demo/a.py", "it would take too long"),)


STOPPED = "the search stopped here, because it would take too long"


def test_the_search_of_a_wheel_ends(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget.Budget.__init__, "__defaults__", (20_000, 10.0))
    more = f"{STOPPED}; 2 files behind it were not searched either"
    members = {"demo/a.py": CALL, "demo/b.py": ENDLESS, "demo/c.py": CALL, "demo/d.py": CALL}
    audit = scene.audit({CORE: wants("GLIBC_2.5"), **members})
    assert [opening.place for opening in audit.openings or ()] == ["demo/a.py"]
    # What its ELF files mention is not resolved any more either; it mentions nothing.
    assert audit.unsearched == (Unsearched("demo/b.py", more),)


@pytest.mark.parametrize("kind", ["declares", "mentions"])
@pytest.mark.parametrize("whole", [True, False])
def test_names_in_elf_files_cost_work_too(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, kind: str, *, whole: bool
) -> None:
    names = [f"libn{number}.so.1" for number in range(200)]
    rodata = "\0".join(["", *names, ""]).encode()
    core = declaring(*({"soname": [name]} for name in names))
    if kind == "mentions":
        core = replace(OPENER, payload=rodata)
    if whole:
        monkeypatch.setattr(budget.Budget.__init__, "__defaults__", (15_000, 10.0))
    else:
        monkeypatch.setattr(budget, "_UNITS_OF_ONE_FILE", 15_000)
        monkeypatch.setattr(budget, "_BETWEEN_LOOKS", 1000)
    audit = scene.audit({CORE: core, "demo/other.so": wants("GLIBC_2.5")})
    assert 0 < len(audit.openings or ()) < 200
    (row,) = audit.unsearched[:1]
    assert row.place == CORE
    assert row.reason.startswith(STOPPED if whole else "it would take too long")


def test_reading_the_files_costs_work_too(scene: Scene) -> None:
    members: dict[str, bytes | ElfSpec] = {
        CORE: wants("GLIBC_2.5"),
        "demo/a.py": CALL,
        "demo/b.py": b"CDLL " * 5000 + CALL,
        "demo/c.py": CALL,
    }
    with open_wheel(scene.wheel(members)) as archive:
        found = read_sources(archive, budget=budget.Budget(2000))
    assert [member.name for member in found.openers] == ["demo/a.py"]
    assert found.unsearched == (Unsearched("demo/b.py", f"{STOPPED}; 1 file behind it was not searched either"),)
    with open_wheel(scene.wheel({CORE: wants("GLIBC_2.5"), "demo/a.py": CALL})) as archive:
        found = read_sources(archive, budget=budget.Budget(10))
    assert found.unsearched == (Unsearched("demo/a.py", STOPPED),)


def test_the_names_of_a_large_folder_are_listed_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        scene.system.write(f"/usr/lib/libn{number}.so.1", "no library\n")
    listed: list[str] = []
    plain = Overlay.list

    def noted(self: Overlay, folder: str) -> tuple[str, ...]:
        listed.append(folder)
        return plain(self, folder)

    monkeypatch.setattr(Overlay, "list", noted)
    code = CALLS + b"".join(b"ctypes.util.find_library('n%d')\n" % number for number in range(50))
    found = openings(scene, wants("GLIBC_2.5"), code + b"ctypes.util.find_library('foo')\nctypes.CDLL('l*foo.so*')\n")
    assert [row.resolution.target for row in found[50:]] == ["/usr/lib/libfoo.so.1"] * 2
    assert len(listed) == len(set(listed))


OPENING = Opening(
    place="demo/lib.py",
    line=2,
    names=("libno.so",),
    confidence=Confidence.CALLED,
    resolution=Resolution(source=Source.NOTHING),
)


def test_the_paragraph_of_show(scene: Scene) -> None:
    found = openings(scene, declaring({"soname": ["libfoo.so.1", "libbar.so.1"]}), CALLS + b"ctypes.CDLL('libno.so')")
    assert openings_text(found, verbose=False) == (
        "The following libraries are opened at run time, or may be:\n"
        "  demo/_core.so opens libfoo.so.1 or libbar.so.1 (declared, recommended)\n"
        "    found on this system: /usr/lib/libfoo.so.1\n"
        "  demo/lib.py:2 opens libno.so (called)\n"
        "    not found"
    )
    assert openings_text((), verbose=False) == ""


def test_only_the_first_are_told_without_v() -> None:
    assert openings_text((OPENING,) * 22, verbose=False).endswith("\n  and 2 more (-v shows all)")
    assert len(openings_text((OPENING,) * 22, verbose=True).splitlines()) == 45


def test_the_value_for_json() -> None:
    assert opening_value(OPENING) == {
        "file": "demo/lib.py",
        "line": 2,
        "names": ["libno.so"],
        "confidence": "called",
        "priority": None,
        "offset": None,
        "optional": False,
        "resolves_to": "nothing",
        "target": None,
    }


def test_what_grafts_open_is_found_before_they_are_grafted(scene: Scene) -> None:
    note = NoteSpec("FDO", 0x407C0C0A, json.dumps([{"soname": ["libdeclared.so.1"]}]).encode() + b"\0")
    opener = ElfSpec(soname="liba.so.1", notes=(note,), undefined=(Undefined("dlopen"),), payload=b"\0libmaybe.so.2\0")
    silent = ElfSpec(soname="libb.so.1", needed=("liba.so.1",), payload=b"\0libnot.so.1\0")
    place = scene.system.library("/usr/lib/liba.so.1", opener)
    scene.system.library("/usr/lib/libb.so.1", silent)
    declared, mentioned = openings(scene, wants("GLIBC_2.5", needed=("libb.so.1",)))
    assert (declared.place, declared.names, declared.confidence) == (
        place,
        ("libdeclared.so.1",),
        Confidence.DECLARED,
    )
    assert (mentioned.place, mentioned.names, mentioned.confidence) == (
        place,
        ("libmaybe.so.2",),
        Confidence.MENTIONED,
    )
    data = (scene.root / "usr/lib/liba.so.1").read_bytes()
    assert mentioned.offset is not None
    assert data[mentioned.offset :].startswith(b"libmaybe.so.2\0")
    assert f"  {place} at {mentioned.offset:#x} mentions libmaybe.so.2" in openings_text((mentioned,), verbose=False)


def test_libraries_that_are_not_grafted_open_on_their_own_account(scene: Scene) -> None:
    opener = ElfSpec(soname="libz.so.1", undefined=(Undefined("dlopen"),), payload=b"\0libmaybe.so.2\0")
    scene.system.library("/usr/lib/libz.so.1", opener)
    assert openings(scene, wants("GLIBC_2.5", needed=("libz.so.1",))) == ()


def test_a_graft_that_is_gone_mentions_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(self: Sysroot, path: str) -> bytes:
        raise InputError(f"{self} {path} is gone", code="unreadable-library")

    opener = ElfSpec(soname="liba.so.1", undefined=(Undefined("dlopen"),), payload=b"\0libmaybe.so.2\0")
    scene.system.library("/usr/lib/liba.so.1", opener)
    core = wants("GLIBC_2.5", needed=("liba.so.1",))
    assert len(openings(scene, core)) == 1
    monkeypatch.setattr(Sysroot, "look", look)
    assert openings(scene, core) == ()
