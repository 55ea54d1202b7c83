"""Whatever is behind the ELF part of a file: an edit is refused, or the proof holds."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from deloc8.elf.edit.vocabulary import SetRpath
from deloc8.elf.edit.writer import edit
from deloc8.errors import ElfError
from deloc8.repair.payloadproof import payload_problems
from kit.elf import MACHINES, build_elf
from kit.payloads import KEPT, REFUSED

FILES = tuple(build_elf(replace(spec, spare_headers=1)) for spec in MACHINES.values())


@st.composite
def files_with_payloads(draw: st.DrawFn) -> bytes:
    """A file with a payload of some format, of which bytes have changed or are cut away."""
    elf = draw(st.sampled_from(FILES))
    if draw(st.booleans()):
        elf = elf[:8] + b"AI\x02" + elf[11:]
    name = draw(st.sampled_from([*KEPT, *REFUSED]))
    payload = bytearray(KEPT[name](len(elf)) if name in KEPT else REFUSED[name])
    for _ in range(draw(st.integers(0, 3))):
        payload[-draw(st.integers(1, len(payload)))] = draw(st.integers(0, 255))
    first = draw(st.sampled_from([0, 0, draw(st.integers(0, len(payload)))]))
    return elf + bytes(payload[first:])


@given(files_with_payloads(), st.integers(0, 300))
def test_a_payload_is_kept_or_the_edit_is_refused(contents: bytes, length: int) -> None:
    try:
        edited = edit(contents, [SetRpath(path="$ORIGIN" + "/x" * length)], "program").data
    except ElfError as error:
        assert error.code == "edit-impossible"  # noqa: PT017  either outcome is right
        return
    assert list(payload_problems(contents, edited, "program")) == []
