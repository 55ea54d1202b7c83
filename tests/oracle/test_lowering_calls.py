"""A library that calls what glibc gave new versions tells the same once it is lowered, on old and new releases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kit.lowering_calls import AARCH64, GCC, OLD_RELEASE, ZIG, Build, compare
from kit.machines import unpack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kit.glibc import Glibc

CASES = [(built, release) for built in (GCC, ZIG) for release in ("2.17", "2.31", "2.36", "2.41", built.release)]
CASES += [(AARCH64, release) for release in ("2.31", "2.36", AARCH64.release)]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Build], Path]:
    """The folder with the library as it was built, and lowered."""
    found: dict[Build, Path] = {}

    def make(built: Build) -> Path:
        if built not in found:
            folder = tmp_path_factory.mktemp("calls")
            ended = built.fixup(folder, "--allow", "differs")
            assert ended.code == 0, ended.err
            (report,) = ended.json["wheels"]
            classes = {row["class"] for row in report["rewrites"]}
            assert classes >= {"moved", "superset", "code"}
            # Only newer releases have the names by which C23 reads numbers.
            assert ("differs" in classes) is (built is not GCC)
            (wheel,) = (folder / "wheelhouse").iterdir()
            assert f"manylinux_2_17_{built.machine}" in wheel.name
            unpack(wheel, folder / "lowered")
            found[built] = folder
        return found[built]

    return make


@pytest.mark.parametrize(
    ("built", "release"), CASES, ids=[f"{built.toolchain.name}-{release}" for built, release in CASES]
)
def test_a_lowered_library_tells_the_same(
    built: Build,
    release: str,
    wheels: Callable[[Build], Path],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    folder = wheels(built)
    old: Glibc | None = request.getfixturevalue("old_libraries") if release == "2.17" else built.libraries(release)
    # On the release that it was linked with, to the last bit.
    exact = release == built.release
    before = built.lines(built.library(), built.libraries(built.release), tmp_path / "before", exact=exact)
    after = built.lines(folder / "lowered/calls/libcalls.so", old, tmp_path / "after", exact=exact)
    if release == "2.17":
        assert set(OLD_RELEASE) <= set(before)
        before = [OLD_RELEASE.get(line, line) for line in before]
    compare(before, after, built)


@pytest.mark.parametrize("release", ["2.31", "2.36"])
def test_as_it_was_built_it_does_not_load(release: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"version `GLIBC_2\.\d+' not found"):
        ZIG.lines(ZIG.library(), ZIG.libraries(release), tmp_path / "scratch")


@pytest.mark.parametrize("built", [ZIG, AARCH64], ids=lambda built: built.toolchain.name)
def test_without_allow_what_differs_is_refused_by_name(built: Build, tmp_path: Path) -> None:
    ended = built.fixup(tmp_path)
    assert ended.code == 1
    assert "__isoc23_sscanf@GLIBC_2.38 cannot be lowered" in ended.err
    assert not (tmp_path / "wheelhouse").exists()
