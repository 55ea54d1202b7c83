"""What the classes of the tables say, asked of the functions: both versions are called in one C library."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

import kit
from deloc8.policy.model import version_key
from deloc8.repair.lowering.table import LoweringClass, Way, load_table
from deloc8.target import Arch
from kit.compile import build, zig
from kit.glibc import Glibc, glibc

NEWEST = "2.43"
KIT = Path(kit.__path__[0])

# What zig calls the machines, with a glibc in which all that the programs themselves use is of one version, and qemu.
MACHINES = {
    Arch.X86_64: ("x86_64-linux-gnu.2.34", None),
    Arch.AARCH64: ("aarch64-linux-gnu.2.34", "aarch64"),
    Arch.I686: ("x86-linux-gnu.2.34", "i386"),
}
LIBM = "libm.so.6"
VARIABLE = "__signgam"

TWO_ARGUMENTS = {"pow", "hypot", "fmod", "atan2", "remainder"}
OTHER_ARGUMENTS = {"jnf": "nf", "ynf": "nf", "lgammaf_r": "fp"}

SITUATIONS = {
    "memcpy": "copy",
    "bzero": "wipe",
    "memset": "fill",
    "free": "release",
    "abs": "magnitude",
    "labs": "magnitude",
    "llabs": "magnitude",
    "imaxabs": "magnitude",
    "memcmp": "equal",
    "memalign": "align",
    "pthread_once": "once",
    "pthread_self": "self",
    "pthread_equal": "alike",
    "sched_yield": "yield",
    "nanosleep": "nap",
    "pthread_getspecific": "key-get",
    "pthread_key_delete": "key-delete",
    "pthread_setspecific": "key-set",
    "pthread_key_create": "key-create",
    "pthread_kill": "kill",
    "pthread_exit": "leave",
    "quick_exit": "quick",
    "glob": "find",
    "glob64": "find",
    "posix_spawn": "spawn",
    "posix_spawnp": "spawn",
    "fmemopen": "memory-file",
    "fcntl": "lock",
}

# The cases in which a `differs` differs, all of them; the reasons in the table tell them in words.
BINARY = r"-?0[bB]\S* (0|2)"
DIFFERENCES = {
    "strtol": BINARY,
    "wcstol": BINARY,
    "scanf": r"-?0[bB]\S* %2?i%n",
    "nap": "wrong",
    "key-set": "failed",
    "key-create": "failed",
    "kill": "ended",
    "leave": "whole",
    "quick": "thread_local",
    "find": "dangling own functions",
    "spawn": "text",
    "memory-file": r"w\+|a\+|empty",
    "lock": "description",
}


def situation(way: Way) -> str:
    if match := re.fullmatch(r"__isoc23_(strto|wcsto|\w*scanf)\w*", way.symbol):
        return {"strto": "strtol", "wcsto": "wcstol"}.get(match[1], "scanf")
    return SITUATIONS[way.to_symbol]


def ways(arch: Arch, kind: LoweringClass) -> list[Way]:
    table = load_table(arch)
    assert table is not None
    return [way for way in table.every_way() if way.kind is kind]


def cases(kind: LoweringClass, *, is_math: bool, machines: tuple[Arch, ...]) -> list[object]:
    return [
        pytest.param(arch, way, id=f"{arch.value}-{way.symbol}@{way.version}-{way.to_symbol}@{way.to_version}")
        for arch in machines
        for way in ways(arch, kind)
        # The names for _Float64 and its kin lead to the same functions everywhere.
        if way.symbol != VARIABLE
        and (way.library == LIBM) is is_math
        and (arch is Arch.X86_64 or not re.search(r"f(32|64)x?$", way.symbol))
    ]


def run(arch: Arch, source: str, *arguments: str) -> list[str]:
    target, qemu = MACHINES[arch]
    program = build((KIT / source).read_text(), zig(target), kind="pie", options=("-lm",))
    return glibc(arch.value, NEWEST, qemu).run(program, *arguments)


def names(way: Way) -> tuple[str, str, str, str]:
    return way.symbol, way.version, way.to_symbol, way.to_version


def math_kind(name: str) -> str:
    """How the program calls a function of libm: f, d or l, and twice for two arguments."""
    if name in OTHER_ARGUMENTS:
        return OTHER_ARGUMENTS[name]
    bare = re.sub(r"(?<=[a-z0-9])[fl]$", "", name) if name not in TWO_ARGUMENTS else name
    letter = name.removeprefix(bare) or "d"
    return letter * (2 if bare in TWO_ARGUMENTS else 1)


def compare(way: Way, arch: Arch) -> tuple[int, int]:
    """How many answers differ in value, errno, exceptions or signgam, and how many NaNs in their sign."""
    count = "20000" if MACHINES[arch][1] is None else "2000"
    *told, last = run(arch, "lowering_math.c", math_kind(way.to_symbol), *names(way), count)
    compared, different, signs = map(int, last.split())
    assert compared > int(count)
    assert different == 0, told
    return different, signs


@pytest.mark.parametrize(("arch", "way"), cases(LoweringClass.SUPERSET, is_math=True, machines=tuple(MACHINES)))
def test_functions_of_libm_give_the_same(arch: Arch, way: Way) -> None:
    _, signs = compare(way, arch)
    # The sign of a NaN is promised by nobody; the reason tells where it may be another one.
    assert signs == 0 or "a NaN may have another sign" in way.reason


@pytest.mark.parametrize("symbol", ["log", "log2"])
def test_the_sign_of_nan_is_the_difference_of_the_logarithms(symbol: str) -> None:
    (way,) = (way for way in ways(Arch.X86_64, LoweringClass.SUPERSET) if way.symbol == symbol)
    _, signs = compare(way, Arch.X86_64)
    assert signs > 0
    assert "a NaN may have another sign" in way.reason


@pytest.mark.parametrize("arch", MACHINES)
def test_the_variable_is_one(arch: Arch) -> None:
    (way,) = (way for way in ways(arch, LoweringClass.SUPERSET) if way.symbol == VARIABLE)
    defined = glibc(arch.value, NEWEST).defines(LIBM)
    assert defined[way.symbol, way.version] == defined[way.to_symbol, way.to_version]
    assert defined[way.symbol, way.version][1] == "OBJECT"


def results(line: str) -> dict[str, str]:
    return dict(re.findall(r"\[(.*?)\](\S*) ", line))


def both(arch: Arch, way: Way, folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    for name, text in (("program", "#!/bin/sh\nexit 5\n"), ("text", "exit 6\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "dangling").symlink_to("nowhere")
    newer, older = run(arch, "lowering_pairs.c", situation(way), *names(way), str(folder))
    assert results(newer).keys() == results(older).keys() or situation(way) == "quick"
    return results(newer), results(older)


@pytest.mark.parametrize(
    ("arch", "way"), cases(LoweringClass.SUPERSET, is_math=False, machines=(Arch.X86_64, Arch.AARCH64))
)
def test_functions_of_libc_do_the_same(arch: Arch, way: Way, tmp_path: Path) -> None:
    newer, older = both(arch, way, tmp_path)
    assert newer
    assert newer == older


# Without script files: a program started under qemu is not run by it. And long is long long.
@pytest.mark.parametrize(
    ("arch", "way"),
    [
        *cases(LoweringClass.DIFFERS, is_math=False, machines=(Arch.X86_64,)),
        *(
            pytest.param(arch, way, id=f"{arch.value}-{way.symbol}")
            for arch in (Arch.AARCH64, Arch.I686)
            for way in ways(arch, LoweringClass.DIFFERS)
            if way.symbol in {"__isoc23_strtoll", "__isoc23_vsscanf", "fmemopen", "pthread_kill", "glob", "fcntl"}
        ),
    ],
)
def test_what_differs_differs_as_told_and_no_further(arch: Arch, way: Way, tmp_path: Path) -> None:
    newer, older = both(arch, way, tmp_path)
    different = [case for case in newer.keys() | older.keys() if newer.get(case) != older.get(case)]
    assert different
    assert [case for case in different if not re.fullmatch(DIFFERENCES[situation(way)], case)] == []
    assert len(newer) > len(different)


# What 2.17 had wrong, and later releases mended under the same version: poles and negative numbers of the Bessel
# functions, errno of tgammaf, and a zero's sign of remainder.
MENDED_LATER = {"y0f", "y1f", "ynf", "tgammaf", "remainder"}

SAME_NAME = [
    way
    for way in ways(Arch.X86_64, LoweringClass.SUPERSET)
    if way.library == LIBM
    and way.symbol == way.to_symbol
    and way.symbol not in MENDED_LATER
    and version_key(way.to_version) <= version_key("GLIBC_2.17")
]


@pytest.mark.parametrize("way", SAME_NAME, ids=lambda way: f"{way.symbol}@{way.version}")
def test_the_old_version_of_a_real_2_17_keeps_the_promises_of_the_new_one(old_libraries: Glibc, way: Way) -> None:
    program = build((KIT / "lowering_math.c").read_text(), zig("x86_64-linux-gnu.2.17"), kind="pie", options=("-ldl",))
    kind = math_kind(way.symbol)
    new = glibc("x86_64", NEWEST).run(program, kind, way.symbol, way.version)
    old = old_libraries.run(program, kind, way.symbol, way.to_version)
    # 16 units in the last place of float, 4 of double: the old release is that precise, with any version.
    precise, smallest = (16 / 2**23, 1.2e-38) if "f" in kind else (4 / 2**52, 2.3e-308)
    assert len(new) == len(old) > 50
    for newer, older in zip(new, old, strict=True):
        *places, value, error = newer.split()
        *same_places, old_value, old_error = older.split()
        assert places == same_places
        one, two = float(value), float(old_value)
        assert math.isnan(one) == math.isnan(two)
        if not math.isnan(one):
            assert math.isclose(one, two, rel_tol=precise, abs_tol=precise if "lgamma" in way.symbol else 0)
            assert math.copysign(1, one) == math.copysign(1, two)
        # Whether an underflow sets errno is up to the library (C11 7.12.1); exp2 and exp10 of 2.17 did not.
        if error != old_error:
            assert abs(one) < smallest
            assert (int(error), int(old_error)) == (34, 0)
