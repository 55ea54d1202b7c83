"""Any edit of a sound file is read back, and nothing else changes; any file at all gives bytes or one clear error."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from deloc8.elf.edits import (
    AddNeeded,
    ClearExecutableStack,
    Edit,
    RemoveNeeded,
    RemoveRpath,
    ReplaceNeeded,
    RpathKind,
    SetRpath,
    SetSoname,
)
from deloc8.elf.image import ElfImage, parse, parse_defined
from deloc8.elf.invariants import broken_invariants
from deloc8.elf.writer import Edited, edit
from deloc8.errors import ElfError
from kit.editor_check import check_bytes
from kit.elf import MACHINES, Defined, ElfSpec, NoteSpec, Undefined, build_elf

NAMES = st.text(st.characters(min_codepoint=1, codec="utf-8"), min_size=1, max_size=40)
# Few enough that edits meet what is there already, and the ends of it.
KNOWN = st.sampled_from(["liba.so", "a.so", "libb.so.1", "libdemo.so", "demo.so", "demo", "so.1", "/opt/lib"])
ANY = KNOWN | NAMES
EDITS = st.lists(
    st.one_of(
        st.builds(SetSoname, soname=ANY),
        st.builds(ReplaceNeeded, old=st.sampled_from(["liba.so", "libb.so.1"]), new=ANY),
        st.builds(AddNeeded, name=ANY, first=st.booleans()),
        st.builds(RemoveNeeded, name=ANY),
        st.builds(SetRpath, path=ANY, kind=st.sampled_from(RpathKind)),
        st.just(RemoveRpath()),
        st.just(ClearExecutableStack()),
    ),
    max_size=6,
)


@st.composite
def specs(draw: st.DrawFn) -> ElfSpec:
    machine = draw(st.sampled_from(sorted(MACHINES)))
    needed = ("liba.so", "libb.so.1")
    undefined = (Undefined("f", "V_1", "liba.so"), Undefined("demo.so"), Undefined("g", "V_2", "libb.so.1", weak=True))
    return replace(
        MACHINES[machine],
        needed=draw(st.sampled_from([(), needed, needed[:1]])),
        soname=draw(st.sampled_from([None, "libdemo.so", "libdemo-with-a-long-name.so"])),
        rpath=draw(st.sampled_from([None, "/opt/lib"])),
        runpath=draw(st.sampled_from([None, "/opt/lib", "$ORIGIN"])),
        undefined=undefined[: draw(st.integers(0, 3))],
        defined=(Defined("demo"), Defined("so.1", "OWN_1"))[: draw(st.integers(0, 2))],
        hash=draw(st.sampled_from(["gnu", "sysv", "both", "none"])),
        sections=draw(st.booleans()),
        notes=draw(st.sampled_from([(), (NoteSpec("GNU", 3, b"12345678"),)])),
        gnu_stack=draw(st.sampled_from([None, 6, 7])),
        spare_nulls=draw(st.integers(0, 2)),
        spare_headers=draw(st.integers(0, 2)),
        payload=draw(st.sampled_from([b"", b"deloc8!\0"])),
    )


def expected(image: ElfImage, edits: list[Edit]) -> tuple[list[str], str | None, str | None, str | None]:
    """The same edits, on a list and three variables."""
    assert image.dynamic is not None
    needed, soname = list(image.needed), image.soname
    paths = {RpathKind.RPATH: image.dynamic.rpath, RpathKind.RUNPATH: image.dynamic.runpath}
    for step in edits:
        match step:
            case SetSoname():
                soname = step.soname
            case ReplaceNeeded():
                needed = [step.new if name == step.old else name for name in needed]
            case AddNeeded(first=True) if needed[:1] != [step.name]:
                if step.name in needed:
                    needed.remove(step.name)
                needed.insert(0, step.name)
            case AddNeeded() if step.name not in needed:
                needed.append(step.name)
            case RemoveNeeded():
                needed = [name for name in needed if name != step.name]
            case SetRpath():
                paths = {kind: step.path if kind is step.kind else None for kind in RpathKind}
            case RemoveRpath():
                paths = dict.fromkeys(RpathKind)
            case _:
                pass
    return needed, soname, paths[RpathKind.RPATH], paths[RpathKind.RUNPATH]


def attempt(data: bytes, edits: list[Edit]) -> Edited | ElfError:
    try:
        return edit(data, edits, "lib.so")
    except ElfError as error:
        if not error.hints or not error.context:
            raise
        return error


@given(specs(), EDITS)
def test_edits_are_read_back(spec: ElfSpec, edits: list[Edit]) -> None:
    data = build_elf(spec)
    image = parse(data, "lib.so")
    edited = attempt(data, edits)
    if isinstance(edited, ElfError):
        assert edited.code == "edit-impossible"
        return
    check_bytes(data, edited.data, edited.placement)
    new = parse(edited.data, "lib.so")
    assert new.dynamic is not None
    wanted = expected(image, edits)
    assert (list(new.needed), new.soname, new.dynamic.rpath, new.dynamic.runpath) == wanted
    assert [(s.name, s.version, s.weak) for s in new.undefined] == [
        (s.name, s.version, s.weak) for s in image.undefined
    ]
    assert parse_defined(edited.data, "lib.so") == parse_defined(data, "lib.so")
    assert new.defined_versions == image.defined_versions
    stack = [segment.flags for segment in new.segments if segment.type == 0x6474E551]
    assert ClearExecutableStack() not in edits or stack in ([], [6])
    lost = {"versions are needed of"}  # a library that is no longer among DT_NEEDED although nobody removed it
    assert not [
        line for line in broken_invariants(edited.data, "lib.so") if not any(line.startswith(words) for words in lost)
    ]
    if spec.sections:
        assert set(new.notes) == set(image.notes)


@given(specs(), EDITS, st.data())
def test_damaged_files_give_bytes_or_one_error(spec: ElfSpec, edits: list[Edit], data: st.DataObject) -> None:
    raw = bytearray(build_elf(spec))
    for _ in range(data.draw(st.integers(0, 12))):
        place = data.draw(st.integers(0, len(raw) - 1))
        width = data.draw(st.sampled_from([1, 2, 4, 8]))
        value = data.draw(st.sampled_from([0, 1, 0x7F, 0xFF]))
        raw[place : place + width] = bytes([value]) * len(raw[place : place + width])
    cut = data.draw(st.none() | st.integers(0, len(raw)))
    attempt(bytes(raw[:cut]), edits)
