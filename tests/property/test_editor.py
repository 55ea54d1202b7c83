"""Any edit of a sound file is read back, and nothing else changes; any file at all gives bytes or one clear error."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from deloc8.elf.edit.invariants import broken_invariants
from deloc8.elf.edit.vocabulary import (
    AddNeeded,
    BindToZero,
    BindVersion,
    ClearExecutableStack,
    DropVersion,
    Edit,
    JoinRelocations,
    RemoveNeeded,
    RemoveRpath,
    ReplaceAudit,
    ReplaceNeeded,
    RpathKind,
    SetRpath,
    SetSoname,
    UnpackRelocations,
)
from deloc8.elf.edit.writer import Edited, edit
from deloc8.elf.read.image import ElfImage, parse, parse_defined
from deloc8.elf.read.notes import announced_build_id
from deloc8.elf.read.view import View
from deloc8.errors import ElfError
from kit.edit_model import MARKER, ImpossibleError, Model
from kit.editor_check import check_bytes
from kit.elf import (
    DT_AUDIT,
    DT_AUXILIARY,
    DT_DEPAUDIT,
    DT_FILTER,
    MACHINES,
    Defined,
    ElfSpec,
    NeedSpec,
    NoteSpec,
    Undefined,
    build_elf,
)
from kit.pyelf import RELATIVE, packed_of, relocations_of, word_at

NAMES = st.text(st.characters(min_codepoint=1, codec="utf-8"), min_size=1, max_size=40)
# Few enough that edits meet what is there already, and the ends of it.
KNOWN = st.sampled_from(["liba.so", "a.so", "libb.so.1", "libdemo.so", "demo.so", "demo", "so.1", "/opt/lib"])
ANY = KNOWN | NAMES
EDITS = st.lists(
    st.one_of(
        st.builds(SetSoname, soname=ANY),
        st.builds(ReplaceNeeded, old=st.sampled_from(["liba.so", "libb.so.1"]), new=ANY),
        st.builds(ReplaceAudit, old=st.sampled_from(["liba.so", "libw.so"]), new=ANY),
        st.builds(AddNeeded, name=ANY, first=st.booleans()),
        st.builds(RemoveNeeded, name=ANY),
        st.builds(SetRpath, path=ANY, kind=st.sampled_from(RpathKind)),
        st.just(RemoveRpath()),
        st.just(ClearExecutableStack()),
    ),
    max_size=6,
)
# Most ask for the first symbol, which most files have.
ASKED = st.sampled_from([("f", "V_1")] * 4 + [("g", "V_2")] * 2 + [("demo.so", "V_1"), ("f", "OWN_1"), ("f", "V_0")])
VERSION = st.sampled_from(["V_1", "V_2", "V_0", "OWN_1"])
LIBRARY = st.sampled_from(["liba.so", "libb.so.1", "libnew.so"])
RENAMED = st.none() | st.sampled_from(["f", "g", "so.1", "another_name"])


def bind_version(asked: tuple[str, str], version: str, library: str, name: str | None) -> BindVersion:
    return BindVersion(symbol=asked[0], old=asked[1], version=version, library=library, name=name)


VERSION_EDITS = st.lists(
    st.one_of(
        st.builds(bind_version, ASKED, VERSION, LIBRARY, RENAMED),
        st.builds(lambda asked, name: DropVersion(symbol=asked[0], old=asked[1], name=name), ASKED, RENAMED),
        st.builds(lambda asked: BindToZero(symbol=asked[0], old=asked[1]), ASKED),
        st.just(UnpackRelocations()),
        st.just(JoinRelocations()),
        st.builds(RemoveNeeded, name=LIBRARY),
        st.builds(ReplaceNeeded, old=LIBRARY, new=LIBRARY),
        st.builds(SetSoname, soname=ANY),
    ),
    min_size=1,
    max_size=4,
)


LINKS = (
    ((DT_AUXILIARY, "libb.so.1"),),
    ((DT_FILTER, "liba.so"), (DT_AUXILIARY, "libc.so"), (DT_AUXILIARY, "libb.so.1")),
    ((DT_AUDIT, "libw.so:liba.so"), (DT_DEPAUDIT, ":libw.so::"), (DT_FILTER, "libc.so")),
)


# A build id, the version of the ABI, and the properties of the processor, which have a program header of their own.
NOTES = (
    NoteSpec("GNU", 3, b"12345678"),
    NoteSpec("GNU", 1, bytes(16)),
    NoteSpec("GNU", 5, bytes.fromhex("028000c0 04000000 01000000 00000000")),
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
        notes=draw(st.sampled_from([(), NOTES[:1], NOTES[:2], NOTES[1:], NOTES])),
        gnu_stack=draw(st.sampled_from([None, 6, 7])),
        spare_nulls=draw(st.integers(0, 2)),
        spare_headers=draw(st.integers(0, 2)),
        payload=draw(st.sampled_from([b"", b"deloc8!\0"])),
        relr=draw(st.booleans()),
        links=draw(st.sampled_from([(), *LINKS])),
        needs=draw(st.sampled_from([(), (NeedSpec("liba.so", "V_0", weak=True),), (NeedSpec("libb.so.1", MARKER),)])),
    )


def attempt(data: bytes, edits: list[Edit]) -> Edited | ElfError:
    try:
        return edit(data, edits, "lib.so")
    except ElfError as error:
        if not error.hints or not error.context:
            raise
        return error


def modelled(spec: ElfSpec, image: ElfImage, edits: list[Edit]) -> Model | None:
    """What the edits make of a file; None where they cannot be done."""
    model = Model(image, has_packed=spec.relr)
    try:
        model.apply(edits)
    except ImpossibleError:
        return None
    return model


@given(specs(), EDITS | VERSION_EDITS | st.builds(list.__add__, EDITS, VERSION_EDITS))
def test_edits_are_read_back(spec: ElfSpec, edits: list[Edit]) -> None:
    data = build_elf(spec)
    image = parse(data, "lib.so")
    edited, model = attempt(data, edits), modelled(spec, image, edits)
    if isinstance(edited, ElfError) or model is None:
        assert isinstance(edited, ElfError)
        assert (edited.code, model) == ("edit-impossible", None)
        return
    check_bytes(data, edited.data, edited.placement)
    new = parse(edited.data, "lib.so")
    assert new.dynamic is not None
    assert (list(new.needed), new.soname) == (model.needed, model.soname)
    assert (list(new.dynamic.filters), list(new.dynamic.audits)) == (model.filters, model.audits)
    assert {RpathKind.RPATH: new.dynamic.rpath, RpathKind.RUNPATH: new.dynamic.runpath} == model.paths
    check_bindings(new, model, all_are_listed=spec.sections or spec.hash in {"sysv", "both"})
    check_relocations(data, edited.data, model)
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


@given(specs(), st.sampled_from([None, "/lib/ld.so"]))
def test_the_build_id_stays_within_reach_or_its_loss_is_told(spec: ElfSpec, interpreter: str | None) -> None:
    """And the same edits once more change nothing, and further ones add no program header."""
    data = build_elf(replace(spec, interpreter=interpreter))
    edits: list[Edit] = [SetSoname(soname="libdemo-with-a-name-that-stands-nowhere.so"), SetRpath(path="$ORIGIN/none")]
    edited = attempt(data, [*edits, ClearExecutableStack()])
    if isinstance(edited, ElfError):
        return
    before, after = announced_build_id(data, "lib.so"), announced_build_id(edited.data, "lib.so")
    assert after == before or any("the build id" in note for note in edited.notes)
    assert edit(edited.data, [*edits, ClearExecutableStack()], "lib.so").data is edited.data
    further = edit(edited.data, [SetSoname(soname="libdemo-with-another-name-that-stands-nowhere.so")], "lib.so").data
    assert len(View.open(further, "lib.so").segments) == len(View.open(edited.data, "lib.so").segments)
    assert announced_build_id(further, "lib.so") == after


def check_bindings(new: ElfImage, model: Model, *, all_are_listed: bool) -> None:
    """What symbols ask for, and which versions are needed, is what the model says.

    Where nothing counts the symbols, those that no relocation refers to may not be listed any more.
    """
    zeros = set() if all_are_listed else {(s.name, None, None, True) for s in model.symbols if s.is_zero}
    wanted = [(symbol.name, *model.asked(symbol), symbol.weak) for symbol in model.symbols]
    found = [(s.name, s.version, s.file, s.weak) for s in new.undefined]
    assert [row for row in found if row not in zeros] == [row for row in wanted if row not in zeros]
    needs = [(need.file, [version.name for version in need.versions]) for need in new.version_needs]
    assert needs == [(file.name, [version.name for version in file.versions]) for file in model.files]


def check_relocations(before: bytes, after: bytes, model: Model) -> None:
    """Of the relocations only those are others that the edits are about."""
    machine = View.open(before, "lib.so").header.e_machine
    zeros = {number for number, symbol in enumerate(model.symbols, 1) if symbol.is_zero}
    packed, rows = packed_of(before), relocations_of(before)
    has_addends = machine not in {3, 40}
    wanted = []
    if model.is_unpacked:
        wanted += [(place, RELATIVE[machine], 0, word_at(before, place) * has_addends) for place in packed]
    zero = next(segment.vaddr for segment in parse(before, "lib.so").segments if segment.type == 1) + 15
    for place, kind, number, addend in rows:
        relative = (place, RELATIVE.get(machine, 0), 0, zero * has_addends)
        wanted.append(relative if number in zeros else (place, kind, number, addend or 0))
        if number in zeros and not has_addends:
            assert word_at(after, place) == zero
    assert [(place, kind, number, addend or 0) for place, kind, number, addend in relocations_of(after)] == wanted
    assert packed_of(after) == ([] if model.is_unpacked else packed)


@given(specs(), EDITS | VERSION_EDITS, st.data())
def test_damaged_files_give_bytes_or_one_error(spec: ElfSpec, edits: list[Edit], data: st.DataObject) -> None:
    raw = bytearray(build_elf(spec))
    for _ in range(data.draw(st.integers(0, 12))):
        place = data.draw(st.integers(0, len(raw) - 1))
        width = data.draw(st.sampled_from([1, 2, 4, 8]))
        value = data.draw(st.sampled_from([0, 1, 0x7F, 0xFF]))
        raw[place : place + width] = bytes([value]) * len(raw[place : place + width])
    cut = data.draw(st.none() | st.integers(0, len(raw)))
    attempt(bytes(raw[:cut]), edits)
