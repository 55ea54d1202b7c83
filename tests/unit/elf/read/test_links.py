"""The entries beside DT_NEEDED that name libraries: read, renamed, and otherwise left as they are."""

from __future__ import annotations

import pytest

from deloc8.dlopen.mentions import mentioned_libraries
from deloc8.elf.edit.invariants import broken_invariants
from deloc8.elf.edit.vocabulary import AddNeeded, Edit, RemoveNeeded, ReplaceAudit, ReplaceNeeded, SetRpath, SetSoname
from deloc8.elf.edit.writer import edit
from deloc8.elf.read.dynamic import Link, LinkKind, read_table
from deloc8.elf.read.image import ElfImage, parse
from deloc8.elf.read.view import View
from deloc8.errors import ElfError
from kit.elf import DT_AUDIT, DT_AUXILIARY, DT_DEPAUDIT, DT_FILTER, MACHINES, ElfSpec, Undefined, build_elf
from kit.patch import patch_entry
from kit.system import image_of

FAST, FULL = "libfast.so.1", "libfull.so.1"
SPEC = ElfSpec(
    needed=("libc.so.6", FAST),
    links=(
        (DT_AUXILIARY, FAST),
        (DT_FILTER, FULL),
        (DT_AUXILIARY, "libother.so.1"),
        (DT_AUDIT, "libwatch.so:$ORIGIN/libwatch2.so"),
        (DT_DEPAUDIT, ":libwatch.so::"),
    ),
)
FILTERS = (
    Link(LinkKind.AUXILIARY, FAST),
    Link(LinkKind.FILTER, FULL),
    Link(LinkKind.AUXILIARY, "libother.so.1"),
)
AUDITS = (
    Link(LinkKind.AUDIT, "libwatch.so"),
    Link(LinkKind.AUDIT, "$ORIGIN/libwatch2.so"),
    Link(LinkKind.DEPAUDIT, "libwatch.so"),
)
LONG = "lib-with-a-name-that-has-no-room-where-the-old-one-was.so.1"


def links_of(image: ElfImage) -> tuple[tuple[Link, ...], tuple[Link, ...]]:
    assert image.dynamic is not None
    return image.dynamic.filters, image.dynamic.audits


def after(spec: ElfSpec, *edits: Edit) -> ElfImage:
    data = edit(build_elf(spec), edits, "lib.so").data
    assert broken_invariants(data, "lib.so") == ()
    return parse(data, "lib.so")


def entries_of(data: bytes) -> list[tuple[int, str]]:
    """The tags and texts of the entries of which `SPEC` has some."""
    table = read_table(View.open(data, "lib.so"))
    assert table is not None
    tags = {1, DT_AUXILIARY, DT_FILTER, DT_AUDIT, DT_DEPAUDIT}
    return [(tag, table.string("d_val", value)) for tag, value in table.entries if tag in tags]


def test_they_are_read_in_their_order() -> None:
    image = image_of(SPEC)
    assert links_of(image) == (FILTERS, AUDITS)
    assert image.needed == ("libc.so.6", FAST)
    assert image.linked == ("libc.so.6", FAST, FULL, "libother.so.1")


@pytest.mark.parametrize("machine", MACHINES)
def test_they_are_read_on_every_machine(machine: str) -> None:
    base = MACHINES[machine]
    spec = ElfSpec(bits=base.bits, little_endian=base.little_endian, machine=base.machine, links=SPEC.links)
    assert links_of(image_of(spec)) == (FILTERS, AUDITS)


def test_most_files_have_none() -> None:
    assert links_of(image_of(ElfSpec(needed=("liba.so",)))) == ((), ())
    assert image_of(ElfSpec(dynamic=False)).linked == ()


def test_a_filter_without_a_name_is_the_main_program() -> None:
    assert links_of(image_of(ElfSpec(links=((DT_FILTER, ""), (DT_AUXILIARY, ""), (DT_AUDIT, ""))))) == ((), ())


def test_of_two_lists_of_audit_libraries_the_last_counts() -> None:
    spec = ElfSpec(links=((DT_AUDIT, "libone.so"), (DT_AUDIT, "libtwo.so")))
    assert links_of(image_of(spec))[1] == (Link(LinkKind.AUDIT, "libtwo.so"),)


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        (DT_FILTER, "DT_FILTER"),
        (DT_AUXILIARY, "DT_AUXILIARY"),
        (DT_AUDIT, "DT_AUDIT"),
        (DT_DEPAUDIT, "DT_DEPAUDIT"),
    ],
)
def test_a_name_outside_of_the_table_is_told_by_its_entry(tag: int, name: str) -> None:
    data = patch_entry(build_elf(ElfSpec(links=((tag, "liba.so"),))), tag, 0x7000)
    with pytest.raises(ElfError) as caught:
        parse(data, "lib.so")
    assert name in str(caught.value.context)


def test_they_are_no_mentions_of_libraries_that_are_opened() -> None:
    data = build_elf(
        ElfSpec(links=SPEC.links, interpreter="/lib/ld.so", payload=f"{FAST}\0libwatch.so\0libopened.so\0".encode())
    )
    assert [mention.name for mention in mentioned_libraries(data, parse(data, "lib.so"))] == ["libopened.so"]


# -- edits


@pytest.mark.parametrize("new", ["liba.so", LONG])
def test_one_name_is_replaced_in_all_entries_that_a_file_takes_symbols_by(new: str) -> None:
    image = after(SPEC, ReplaceNeeded(old=FAST, new=new))
    assert image.needed == ("libc.so.6", new)
    assert links_of(image) == ((Link(LinkKind.AUXILIARY, new), *FILTERS[1:]), AUDITS)


@pytest.mark.parametrize("new", ["liba.so", LONG])
def test_a_filter_is_replaced_where_nothing_is_needed_of_that_name(new: str) -> None:
    image = after(SPEC, ReplaceNeeded(old=FULL, new=new))
    assert image.needed == ("libc.so.6", FAST)
    assert links_of(image)[0] == (FILTERS[0], Link(LinkKind.FILTER, new), FILTERS[2])


def test_the_version_record_of_a_filtee_is_replaced_with_it() -> None:
    spec = ElfSpec(links=((DT_FILTER, FULL),), undefined=(Undefined("f", "V_1", FULL),))
    image = after(spec, ReplaceNeeded(old=FULL, new=LONG))
    assert [need.file for need in image.version_needs] == [LONG]


@pytest.mark.parametrize("new", ["liba.so", LONG])
def test_an_audit_library_is_replaced_in_both_lists_and_the_rest_of_them_stays(new: str) -> None:
    data = edit(build_elf(SPEC), (ReplaceAudit(old="libwatch.so", new=new),), "lib.so").data
    assert entries_of(data)[-2:] == [(DT_AUDIT, f"{new}:$ORIGIN/libwatch2.so"), (DT_DEPAUDIT, f":{new}::")]
    assert links_of(parse(data, "lib.so"))[0] == FILTERS


def test_what_has_been_replaced_already_is_no_error() -> None:
    edits = (ReplaceAudit(old="libwatch.so", new="libw.so"), ReplaceNeeded(old=FULL, new="libf.so"))
    once = edit(build_elf(SPEC), edits, "lib.so").data
    assert edit(once, edits, "lib.so").data == once


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (ReplaceAudit(old=FAST, new="liba.so"), f"the audit library `{FAST}` cannot be replaced: there is none"),
        (ReplaceAudit(old="libwatch.so", new=""), "the new audit library '' is empty"),
        (ReplaceNeeded(old="libwatch.so", new="liba.so"), "DT_NEEDED `libwatch.so` cannot be replaced: there is none"),
    ],
)
def test_what_is_not_there_cannot_be_replaced(change: Edit, why: str) -> None:
    with pytest.raises(ElfError) as caught:
        edit(build_elf(SPEC), (change,), "lib.so")
    assert caught.value.context == (why,)


def test_a_library_is_removed_from_all_entries_that_a_file_takes_symbols_by() -> None:
    image = after(SPEC, RemoveNeeded(name=FAST))
    assert (image.needed, *links_of(image)) == (("libc.so.6",), FILTERS[1:], AUDITS)


@pytest.mark.parametrize("sections", [True, False])
def test_other_edits_leave_their_names_alone_though_the_string_table_moves(*, sections: bool) -> None:
    spec = ElfSpec(needed=SPEC.needed, links=SPEC.links, soname="libdemo.so", sections=sections, spare_nulls=0)
    before = build_elf(spec)
    edits = (SetSoname(soname=LONG), SetRpath(path="$ORIGIN/../demo.libs"), AddNeeded(name=f"x{LONG}"))
    data = edit(before, edits, "lib.so").data
    assert broken_invariants(data, "lib.so") == ()
    assert sorted(entries_of(data)) == sorted([*entries_of(before), (1, f"x{LONG}")])
