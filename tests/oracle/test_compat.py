"""The functions of the compatibility library beside those of this machine's glibc: same results, same errno."""

from __future__ import annotations

import functools
import platform

import pytest

from deloc8.repair.lowering.compat_library import provided
from deloc8.target import Arch
from kit.compat_library import MACHINES, Transcript, differences, named_alike, transcript

MACHINE = platform.machine()

pytestmark = pytest.mark.skipif(
    MACHINE not in MACHINES or platform.libc_ver()[0] != "glibc", reason="this machine has no library, or no glibc"
)

kernels = pytest.mark.parametrize("old_kernel", [False, True], ids=["this-kernel", "old-kernel"])


@functools.cache
def told(*, library: bool, old_kernel: bool) -> Transcript:
    return transcript(MACHINE, library=library, old_kernel=old_kernel)


@kernels
def test_every_function_is_called(*, old_kernel: bool) -> None:
    assert set(told(library=True, old_kernel=old_kernel)) == named_alike(Arch(MACHINE))


def test_glibc_has_those_of_its_version() -> None:
    release = tuple(int(part) for part in platform.libc_ver()[1].split("."))
    expected = {
        name
        for name, function in provided(Arch(MACHINE)).items()
        if name == function.replaces
        and tuple(int(part) for part in function.since.removeprefix("GLIBC_").split(".")) <= release
    }
    # A distribution may have taken one from a later release.
    assert set(told(library=False, old_kernel=False)) >= expected


@kernels
def test_the_functions_do_what_those_of_glibc_do(*, old_kernel: bool) -> None:
    ours, theirs = told(library=True, old_kernel=old_kernel), told(library=False, old_kernel=old_kernel)
    assert len(ours.keys() & theirs.keys()) > 50
    assert differences(theirs, ours) == {}
