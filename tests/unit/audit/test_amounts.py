"""What the ELF files of a wheel may say in all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deloc8.audit import amounts as module
from deloc8.audit import match
from deloc8.audit.amounts import Amounts
from deloc8.elf.read.image import parse_counted
from deloc8.errors import WheelError
from deloc8.workflow.audit import AuditOptions
from deloc8.workflow.check import check_wheel
from kit.bench import Bench
from kit.elf import Defined, ElfSpec, NoteSpec, Undefined, build_elf
from kit.system import image_of

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.elf.read.image import ElfImage

WANTS = Undefined("memcpy", "GLIBC_2.14", "libc.so.6")
SPEC = ElfSpec(
    soname="libx.so",
    rpath="/a",
    needed=("libc.so.6", "libm.so.6"),
    undefined=(WANTS, Undefined("strlen")),
    defined=(Defined("mine", "X_1"),),
    notes=(NoteSpec(owner="GNU", type=3, description=bytes(20)),),
)
IMAGE = image_of(SPEC)


@pytest.mark.parametrize(
    ("what", "of_one"),
    [
        (module._UNDEFINED, lambda image: len(image.undefined)),
        (module._NEEDED, lambda image: len(image.needed)),
        (module._HEADERS, lambda image: len(image.segments) + len(image.sections)),
        (module._VERSIONS, lambda image: 1 + len(image.defined_versions)),
        (module._NOTES, lambda image: len(image.notes)),
    ],
)
def test_two_files_are_counted_together(what: str, of_one: object, monkeypatch: pytest.MonkeyPatch) -> None:
    both = 2 * of_one(IMAGE)  # type: ignore[operator]
    assert both
    for limit in (both, both - 1):
        monkeypatch.setitem(module.LIMITS, what, limit)
        amounts = Amounts("demo-1.0-py3-none-any.whl")
        amounts.add(IMAGE, 0)
        if limit == both:
            amounts.add(IMAGE, 0)
        else:
            with pytest.raises(WheelError, match=f"more than {limit} {what}") as caught:
                amounts.add(IMAGE, 0)
            assert caught.value.code == "too-many-symbols"
            assert caught.value.hints
            with pytest.raises(WheelError):
                amounts.check()


def test_names_that_are_read_are_counted() -> None:
    """The file of a version record is read for it, too; the version that the file defines is its own name, too."""
    words = ["memcpy", "strlen", "GLIBC_2.14", "libc.so.6", "libx.so", "/a", "libc.so.6", "libm.so.6"]
    words += [version.name for version in IMAGE.defined_versions]
    image, names = parse_counted(build_elf(SPEC), "libx.so")
    assert image == IMAGE
    assert names == sum(map(len, words))


def test_texts_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.LIMITS, module._TEXT, 70)
    Amounts("demo").add(IMAGE, 50)
    with pytest.raises(WheelError, match="bytes of names"):
        Amounts("demo").add(IMAGE, 51)


def test_a_file_without_a_dynamic_section_says_little() -> None:
    Amounts("demo").add(*parse_counted(build_elf(ElfSpec(dynamic=False)), "x.so"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_elf_files_are_counted_before_one_is_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = bench.wheel({f"demo/{number}.so": build_elf() for number in range(3)})
    monkeypatch.setitem(module.LIMITS, module._FILES, 3)
    assert bench.audit(wheel).facts.own
    monkeypatch.setitem(module.LIMITS, module._FILES, 2)

    def parse(_: object, name: str) -> ElfImage:
        raise AssertionError(name)

    monkeypatch.setattr("deloc8.audit.images.parse_counted", parse)
    with pytest.raises(WheelError, match="more than 2 ELF files"):
        bench.audit(wheel)
    assert "too-many-symbols" in {found.code for found in check_wheel(wheel, AuditOptions(sysroot=bench.system.top))}


def test_violations_are_counted_over_all_policies(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    wants = Undefined("memcpy", "GLIBC_2.34", "libc.so.6")
    wheel = bench.wheel({"demo/x.so": build_elf(needed=("libc.so.6",), undefined=(wants,))})
    count = sum(len(one.violations) for one in bench.audit(wheel).matches)
    assert count > 3
    monkeypatch.setattr(match, "MOST_VIOLATIONS", count)
    assert bench.audit(wheel).matches
    monkeypatch.setattr(match, "MOST_VIOLATIONS", count - 1)
    with pytest.raises(WheelError, match="violations") as caught:
        bench.audit(wheel)
    assert caught.value.code == "too-many-symbols"
