"""The proof that the data behind the ELF part of a file is what it was, and where its program looks for it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from deloc8.elf.edit.vocabulary import SetRpath
from deloc8.elf.edit.writer import edit
from deloc8.elf.read.view import View
from deloc8.errors import ElfError, VerificationError
from deloc8.repair import execute
from deloc8.repair.payloadproof import payload_problems
from kit.bench import EXT, Bench, contents, image
from kit.elf import ElfSpec, build_elf
from kit.payloads import CONTENTS, KEPT, bun, sbcl, zip_from_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from deloc8.elf.edit.vocabulary import Edit
    from deloc8.elf.read.view import Buffer

SPEC = ElfSpec(needed=("liba.so.1",), interpreter="/lib64/ld-linux-x86-64.so.2", spare_headers=1)
ELF = build_elf(SPEC)
EDITED = edit(ELF, [SetRpath(path="$ORIGIN/../demo.libs")], "program").data
PROGRAM = "demo/program"


def problems(before: bytes, after: bytes) -> list[str]:
    return list(payload_problems(before, after, "program"))


@pytest.mark.parametrize("name", KEPT)
def test_a_payload_that_was_kept(name: str) -> None:
    before = ELF + KEPT[name](len(ELF))
    after = edit(before, [SetRpath(path="$ORIGIN/../demo.libs")], "program").data
    assert problems(before, before) == problems(before, after) == []


def test_no_payload_before_and_after() -> None:
    assert problems(ELF, EDITED) == problems(ELF + b"\0", EDITED) == []


def test_a_payload_that_is_lost() -> None:
    before = ELF + bun(len(ELF))
    lost = [f"program: of the {len(before) - len(ELF)} bytes behind its ELF part some are lost"]
    assert problems(before, EDITED) == problems(before, EDITED + CONTENTS) == lost


def test_bytes_from_nowhere() -> None:
    assert problems(ELF, EDITED + CONTENTS) == [f"program: {len(CONTENTS)} bytes have come behind its ELF part"]
    before = ELF + bun(len(ELF))
    after = EDITED + CONTENTS + bun(len(EDITED + CONTENTS))
    assert problems(before, after) == ["program: other bytes have come before the data behind its ELF part"]


def test_a_payload_of_an_unknown_format_that_has_moved() -> None:
    moved = "program: the data behind its ELF part (unknown format) has moved"
    assert problems(ELF + CONTENTS, EDITED + CONTENTS) == [moved]


def test_a_position_that_was_forgotten() -> None:
    before = ELF + sbcl(len(ELF))
    stale = bytearray(edit(before, [SetRpath(path="$ORIGIN/../demo.libs")], "program").data)
    stale[-16:-8] = struct.pack("<Q", len(ELF))
    found = problems(before, bytes(stale))
    (problem,) = found
    assert problem.startswith("program: the position 0x")
    assert problem.endswith(f" in the data behind its ELF part has become 0x{len(ELF):x}")


def test_contents_that_have_changed() -> None:
    before = bytearray(ELF + zip_from_file(len(ELF)))
    start = len(ELF)
    for place in (start + 40, len(before) - 30, len(before) - 1):
        after = bytearray(before)
        after[place] ^= 1
        assert any("has changed" in problem for problem in problems(bytes(before), bytes(after)))


def test_data_apart_from_the_section_headers() -> None:
    before = ELF[:8] + b"AI\x02" + ELF[11:] + CONTENTS
    after = EDITED[:8] + b"AI\x02" + EDITED[11:] + CONTENTS
    assert View.open(EDITED, "program").headers_end != len(EDITED)
    apart = "program: the data behind its ELF part does not begin where its section headers end"
    assert apart in problems(before, after)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    found = Bench(tmp_path)
    found.library("/usr/lib64/liba.so.1")
    return found


def test_a_program_in_a_wheel_keeps_its_payload(bench: Bench) -> None:
    members: dict[str, ElfSpec | bytes] = {EXT: ElfSpec(needed=("liba.so.1",)), PROGRAM: ELF + bun(len(ELF))}
    outcome = bench.repair(bench.wheel(members, modes={PROGRAM: 0o755}))
    found = contents(outcome.path)[PROGRAM]
    assert found.endswith(bun(len(found) - len(bun(0))))
    assert image(outcome.path, PROGRAM).needed == (outcome.plan.grafts[0].new_name,)


def test_a_library_that_is_grafted_keeps_its_payload(bench: Bench) -> None:
    library = build_elf(ElfSpec(soname="liba.so.1", spare_headers=1))
    bench.system.write("/usr/lib64/liba.so.1", library + bun(len(library)))
    outcome = bench.repair(bench.extension(needed=("liba.so.1",)))
    (graft,) = outcome.plan.grafts
    found = contents(outcome.path)[graft.member]
    assert found.endswith(bun(len(found) - len(bun(0))))


def lost(data: Buffer, edits: Sequence[Edit], name: str) -> Buffer:
    view = View.open(data, name)
    return edit(bytes(data[: view.elf_end]), edits, name).data


def come(data: Buffer, edits: Sequence[Edit], name: str) -> Buffer:
    return edit(data, edits, name).data + CONTENTS


def test_a_program_that_would_lose_its_payload_is_refused_before_anything_is_written(bench: Bench) -> None:
    program = ELF + CONTENTS
    wheel = bench.wheel({EXT: ElfSpec(), PROGRAM: program}, modes={PROGRAM: 0o755})
    for attempt in (bench.plan, bench.repair):
        with pytest.raises(ElfError, match=f"`{PROGRAM}` cannot be edited") as caught:
            attempt(wheel)
        assert caught.value.code == "edit-impossible"
        assert f"{len(CONTENTS)} bytes of data behind its ELF part" in caught.value.context[0]
    assert bench.left in ([], ["no folder"])
    # What is left out needs no edit.
    outcome = bench.repair(wheel, exclude=("liba.so.1",))
    assert contents(outcome.path)[PROGRAM] == program


def test_a_library_that_would_lose_its_payload_is_not_grafted(bench: Bench) -> None:
    library = build_elf(ElfSpec(soname="liba.so.1", spare_headers=1)) + CONTENTS
    bench.system.write("/usr/lib64/liba.so.1", library)
    wheel = bench.extension(needed=("liba.so.1",))
    with pytest.raises(ElfError, match=r"`/usr/lib64/liba\.so\.1` cannot be edited"):
        bench.plan(wheel)


@pytest.mark.parametrize(
    ("sabotage", "payload", "problem"),
    [(lost, bun(len(ELF)), "bytes behind its ELF part some are lost"), (come, b"", "have come behind its ELF part")],
)
def test_the_proof_of_a_wheel_compares_payloads(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    sabotage: Callable[[Buffer, Sequence[Edit], str], Buffer],
    payload: bytes,
    problem: str,
) -> None:
    wheel = bench.wheel({EXT: ElfSpec(), PROGRAM: ELF + payload}, modes={PROGRAM: 0o755})
    monkeypatch.setattr(execute, "edit_owned", sabotage)
    with pytest.raises(VerificationError) as caught:
        bench.repair(wheel)
    assert any(line.startswith(f"{PROGRAM}: ") and problem in line for line in caught.value.context)
    assert bench.left in ([], ["no folder"])
