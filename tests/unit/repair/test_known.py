"""What the audit has read is not read again."""

from __future__ import annotations

import hashlib
import os
from base64 import urlsafe_b64encode
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deloc8.errors import SystemFault
from deloc8.repair import known
from deloc8.repair import verify as workflow_verify
from deloc8.repair.known import Known
from deloc8.wheel.archive import WheelArchive, open_wheel
from kit.bench import EXT, Bench, contents
from kit.elf import ElfSpec, build_elf
from kit.wheels import record_hash

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from deloc8.repair.model import Proof
    from deloc8.repair.verify import Claim
    from deloc8.wheel.archive import Buffer, Member

LIB = "/usr/lib64"
INFO = "demo-1.0.dist-info"
OTHER = "demo/other.so"
TEXT = "demo/__init__.py"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    found = Bench(tmp_path)
    found.library(f"{LIB}/liba.so.1")
    return found


@pytest.fixture
def wheel(bench: Bench) -> Path:
    """One ELF file that will be edited, and one that will not."""
    return bench.wheel({TEXT: b"", EXT: ElfSpec(needed=("liba.so.1",)), OTHER: ElfSpec()})


@pytest.fixture
def unpacked(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """How often each member of each file was unpacked."""
    times: Counter[tuple[str, str]] = Counter()
    read, pieces = WheelArchive.read, WheelArchive.pieces
    depth = 0

    def counting_read(self: WheelArchive, member: Member) -> Buffer:
        times[Path(self.path).suffix, member.name] += depth == 0
        return read(self, member)

    def counting_pieces(self: WheelArchive, member: Member) -> Iterator[Buffer]:
        nonlocal depth
        times[Path(self.path).suffix, member.name] += 1
        depth += 1
        try:
            yield from pieces(self, member)
        finally:
            depth -= 1

    monkeypatch.setattr(WheelArchive, "read", counting_read)
    monkeypatch.setattr(WheelArchive, "pieces", counting_pieces)
    return times


def times_of(unpacked: Counter[tuple[str, str]], name: str) -> int:
    """In the source and in the result."""
    return sum(count for (_, member), count in unpacked.items() if member == name)


def test_what_is_not_edited_is_unpacked_once(bench: Bench, wheel: Path, unpacked: Counter[tuple[str, str]]) -> None:
    outcome = bench.repair(wheel)
    assert outcome.proof.problems == ()
    assert times_of(unpacked, OTHER) == 1
    assert times_of(unpacked, TEXT) == 1
    assert times_of(unpacked, EXT) == 3  # for the audit, for the edit, and of the result


@pytest.mark.parametrize("algorithm", ["sha512", ""])
def test_what_record_tells_no_sha256_of_is_read_again(
    bench: Bench, unpacked: Counter[tuple[str, str]], algorithm: str
) -> None:
    members: dict[str, ElfSpec | bytes] = {EXT: ElfSpec(needed=("liba.so.1",)), OTHER: ElfSpec()}
    sound = contents(bench.wheel(members))
    digest = urlsafe_b64encode(hashlib.new(algorithm, sound[OTHER]).digest()).decode() if algorithm else ""
    row = f"{OTHER},{algorithm}={digest},{len(sound[OTHER])}" if algorithm else f"{OTHER},,"
    lines = sound[f"{INFO}/RECORD"].decode().splitlines()
    record = "".join(f"{row if line.startswith(OTHER) else line}\n" for line in lines)
    wheel = bench.wheel(members, record=record.encode())
    assert bench.repair(wheel).proof.problems == ()
    assert times_of(unpacked, OTHER) > 1


def test_where_the_wheel_was_written_to_before_the_proof_all_is_read_again(
    bench: Bench, wheel: Path, unpacked: Counter[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = workflow_verify.verify
    seen = []

    def late(claim: Claim, path: Path, *, threads: int = 1) -> Proof:
        seen.append(times_of(unpacked, OTHER))
        os.utime(wheel, ns=(1, 1))
        return honest(claim, path, threads=threads)

    monkeypatch.setattr("deloc8.workflow.repair.verify", late)
    with pytest.raises(SystemFault, match="was written to while it was read") as caught:
        bench.repair(wheel)
    assert caught.value.code == "wheel-changed"
    assert bench.left == ["no folder"]
    assert seen == [1]
    assert times_of(unpacked, OTHER) == 2


def test_the_contents_of_the_largest_member_are_kept_until_they_are_edited(
    bench: Bench, unpacked: Counter[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "is_large", lambda size: size > 5000)
    wheel = bench.wheel({EXT: build_elf(ElfSpec(needed=("liba.so.1",))) + bytes(6000), OTHER: ElfSpec()})
    assert bench.repair(wheel).proof.problems == ()
    assert times_of(unpacked, EXT) == 2  # for the audit, and of the result


def test_what_is_not_edited_is_let_go_before_the_wheel_is_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "is_large", lambda size: size > 5000)
    kept = []
    keep = Known.keep

    def noted(self: Known, names: Collection[str]) -> None:
        before = set(self.contents)
        keep(self, names)
        kept.append((before, set(self.contents)))

    monkeypatch.setattr(Known, "keep", noted)
    wheel = bench.wheel({EXT: ElfSpec(needed=("liba.so.1",)), OTHER: build_elf(ElfSpec()) + bytes(6000)})
    assert bench.repair(wheel).proof.problems == ()
    assert kept == [({OTHER}, set())]


def test_only_a_large_member_is_kept(wheel: Path) -> None:
    with open_wheel(wheel) as archive:
        found = Known.of(archive)
        for member in archive.members:
            found.look(member, archive.read(member))
    assert found.contents == {}
    assert found.hashes == {name: record_hash(data) for name, data in contents(wheel).items()}
