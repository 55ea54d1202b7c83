"""What `why` says of lowering: only where it helps, and only as far as it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deloc8.audit.verdict import find_tag
from deloc8.errors import UnrepairableError
from deloc8.explain.remedy import ways_by_lowering
from kit.bench import Bench
from kit.command import Command
from kit.elf import NeedSpec, Undefined

if TYPE_CHECKING:
    from pathlib import Path

TAG = "manylinux_2_17_x86_64"
NEEDED = ("libstdc++.so.6", "libm.so.6", "libc.so.6")


def libc(name: str, version: str) -> Undefined:
    return Undefined(name, f"GLIBC_{version}", "libc.so.6")


CREATE, STAT, SCANF = libc("pthread_create", "2.34"), libc("stat", "2.33"), libc("__isoc23_sscanf", "2.38")
UNKNOWN = libc("no_such_function", "2.35")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def ways(bench: Bench, *undefined: Undefined, asked: Undefined | None = None) -> tuple[str, ...]:
    audit = bench.audit(bench.extension(needed=NEEDED, undefined=undefined))
    match = audit.match(find_tag(audit, TAG))
    rows = [row for row in match.violations if asked is None or row.symbol == asked.name]
    return ways_by_lowering(audit, match, rows)


def test_what_the_option_does_with_the_classes(bench: Bench) -> None:
    wanted = f"let `deloc8 fixup --plat {TAG} --lower-glibc` make the wheel do without"
    assert ways(bench, CREATE, STAT) == (f"{wanted} pthread_create@GLIBC_2.34 (moved), stat@GLIBC_2.33 (code)",)
    assert ways(bench, CREATE, STAT, asked=STAT) == (f"{wanted} stat@GLIBC_2.33 (code)",)


def test_what_must_be_allowed_comes_first_and_is_asked_for_once_for_all(bench: Bench) -> None:
    wanted = f"let `deloc8 fixup --plat {TAG} --lower-glibc --allow differs` make the wheel do without"
    assert ways(bench, CREATE, SCANF) == (
        f"{wanted} __isoc23_sscanf@GLIBC_2.38 (differs), pthread_create@GLIBC_2.34 (moved)",
    )
    assert ways(bench, CREATE, SCANF, asked=CREATE) == (f"{wanted} pthread_create@GLIBC_2.34 (moved)",)


def test_where_it_is_not_enough(bench: Bench) -> None:
    rest = f"; the rest of what bars {TAG} needs another way"
    part = "`--lower-glibc` makes the wheel do without pthread_create@GLIBC_2.34 (moved)"
    assert ways(bench, CREATE, UNKNOWN) == (part + rest,)
    assert ways(bench, CREATE, Undefined("f", "GLIBCXX_3.4.30", "libstdc++.so.6")) == (part + rest,)
    # That says the same as fixup.
    with pytest.raises(UnrepairableError):
        bench.plan(bench.extension(needed=NEEDED, undefined=(CREATE, UNKNOWN)), platform=TAG, lower_glibc=True)


def test_where_it_does_not_help(bench: Bench) -> None:
    assert ways(bench, UNKNOWN) == ()
    assert ways(bench, CREATE, UNKNOWN, asked=UNKNOWN) == ()
    assert ways(bench, Undefined("f", "GLIBCXX_3.4.30", "libstdc++.so.6")) == ()


@pytest.mark.parametrize(("count", "told", "end"), [(6, 6, ""), (7, 6, " and 1 more"), (8, 6, " and 2 more")])
def test_of_many_symbols_some_are_told(bench: Bench, count: int, told: int, end: str) -> None:
    names = ("create", "join", "once", "getspecific", "setspecific", "key_create", "key_delete", "detach")
    (way,) = ways(bench, *(libc(f"pthread_{name}", "2.34") for name in names[:count]))
    assert way.endswith(f"(moved){end}")
    assert way.count("(moved)") == told


def test_markers_have_no_symbol(bench: Bench) -> None:
    spec = {"needed": NEEDED, "undefined": (libc("puts", "2.2.5"),), "relr": True}
    audit = bench.audit(bench.extension(**spec, needs=(NeedSpec("libc.so.6", "GLIBC_ABI_DT_RELR"),)))
    match = audit.match(find_tag(audit, TAG))
    (way,) = ways_by_lowering(audit, match, match.violations)
    assert way.endswith("make the wheel do without GLIBC_ABI_DT_RELR (packed)")


def test_the_command_tells_it(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    command = Command(capsys)
    wheel = bench.extension(needed=NEEDED, undefined=(CREATE,))
    told = command("why", wheel, "pthread_create", "--sysroot", bench.system.top)
    assert "--lower-glibc` make the wheel do without pthread_create@GLIBC_2.34 (moved)" in " ".join(told.out.split())
    (answer,) = command("why", wheel, TAG, "--sysroot", bench.system.top, "--format", "json").json["wheels"]
    assert f"let `deloc8 fixup --plat {TAG} --lower-glibc`" in answer["ways_out"][1]
