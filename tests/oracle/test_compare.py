"""`make compare`: deloc8 beside auditwheel on real and synthetic wheels, and the rules that explain differences."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("auditwheel", reason="auditwheel is not installed: it is what is compared with")

from kit.elf import ET_EXEC, GLIBC, Defined, ElfSpec, Undefined, build_elf, build_with_places
from kit.scene import CORE, wants
from kit.wheels import build_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


EIGHT = ("cffi", "lmdb", "lxml", "mysqlclient", "numpy", "pillow", "psycopg2", "pyyaml")


def compare(top: Path, folder: Path, tmp_path: Path) -> tuple[int, list[str]]:
    """The exit code and the lines of a comparison, with repairs."""
    command = [sys.executable, str(top / "tools" / "compare.py"), str(folder)]
    command += ["--repair", "all", "--cache", str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def wheel(folder: Path, members: Mapping[str, ElfSpec | bytes], tag: str = "cp311-cp311-linux_x86_64") -> Path:
    contents = {name: build_elf(data) if isinstance(data, ElfSpec) else data for name, data in members.items()}
    return build_wheel(folder, {"demo/__init__.py": b"", **contents}, tags=(tag,))


@pytest.mark.parametrize("distribution", EIGHT)
def test_real_wheels_are_answered_alike(top: Path, wheels_folder: Path, tmp_path: Path, distribution: str) -> None:
    folder = tmp_path / "wheels"
    folder.mkdir()
    for path in wheels_folder.glob(f"{distribution}-*.whl"):
        (folder / path.name).symlink_to(path)
    code, lines = compare(top, folder, tmp_path)
    assert [line for line in lines if line.startswith(("!", "~"))] == []
    assert (code, lines[0][0]) == (0, "=")
    assert "1 wheels: 1 equal, 0 explained, 0 not explained" in lines


def module_of_an_fpectl_python() -> bytes:
    """A file that auditwheel takes for an extension module: its function PyInit__core is one."""
    spec = ElfSpec(needed=(GLIBC,), undefined=(Undefined("PyFPE_jbuf"),), defined=(Defined("PyInit__core"),))
    data, places = build_with_places(spec)
    module = bytearray(data)
    third_row = places[".dynsym"] + 2 * 24
    module[third_row + 4] = 0x12  # STB_GLOBAL, STT_FUNC
    return bytes(module)


GLIB = ElfSpec(needed=("libglib-2.0.so.0", GLIBC), undefined=(Undefined("g_source_set_static_name"),))
ZLIB_NG = ElfSpec(
    needed=(GLIBC, "libz.so.1"),
    undefined=(Undefined("zng_inflate", "ZLIB_NG_2.1.0", "libz.so.1"), Undefined("puts", "GLIBC_2.2.5", GLIBC)),
)


@pytest.mark.parametrize(
    ("spec", "tag", "differences"),
    [
        (wants("GLIBC_2.17"), "cp311-cp311-linux_x86_64", {}),
        (wants("GLIBC_2.17"), "cp311-cp311-manylinux_2_28_x86_64", {}),
        (wants("GLIBC_2.99"), "cp311-cp311-linux_x86_64", {"tag": "newer-glibc", "name": "newer-glibc"}),
        (GLIB, "cp311-cp311-linux_x86_64", {"tag": "library-release", "name": "library-release"}),
        (ZLIB_NG, "cp311-cp311-linux_x86_64", {"tag": "zlib-ng", "name": "zlib-ng"}),
        (wants("GLIBC_2.17"), "cp311-cp311-manylinux_2_5_x86_64", {"name": "false-tag-kept"}),
        (module_of_an_fpectl_python(), "cp311-cp311-linux_x86_64", {"name": "pyfpe-repaired"}),
        (replace(wants("GLIBC_2.17"), gnu_stack=7), "cp311-cp311-linux_x86_64", {"tag": "executable-stack"}),
        (
            replace(wants("GLIBC_2.17"), relr=True),
            "cp311-cp311-linux_x86_64",
            {"tag": "relr-without-marker", "name": "relr-without-marker"},
        ),
        (ElfSpec(type=ET_EXEC, dynamic=False), "py3-none-manylinux_2_5_x86_64.musllinux_1_1_x86_64", {}),
    ],
)
def test_synthetic_wheels(
    top: Path, tmp_path: Path, spec: ElfSpec | bytes, tag: str, differences: dict[str, str]
) -> None:
    wheel(tmp_path, {CORE: spec}, tag)
    code, lines = compare(top, tmp_path, tmp_path)
    found = dict(line.strip().split(": ") for line in lines[1 : lines.index("")])
    assert (code, found) == (0, differences)
    assert lines[0][0] == ("~" if differences else "=")


def test_a_second_run_asks_nobody(top: Path, tmp_path: Path) -> None:
    path = wheel(tmp_path, {CORE: wants("GLIBC_2.17")})
    first = compare(top, tmp_path, tmp_path)
    for kept in (tmp_path / "cache").glob("*/*.json"):
        kept.write_text(kept.read_text().replace("manylinux_2_17", "manylinux_2_18"))
    assert compare(top, tmp_path, tmp_path) == (0, [line.replace("2_17", "2_18") for line in first[1]])
    path.write_bytes(path.read_bytes() + b"\0")  # another wheel, and no sound one
    assert "manylinux_2_18" not in "".join(compare(top, tmp_path, tmp_path)[1])


# -- the rules


@pytest.fixture
def rules(top: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(top / "tools")
    return importlib.import_module("compare")


def test_a_difference_that_no_rule_knows_fails(rules: Any) -> None:
    shown = {"versioned_symbols": {}, "external_libraries": {}, "libc": "glibc"}
    case = rules.Case(
        wheel="demo-1.0-cp311-cp311-linux_x86_64.whl",
        ours=rules.Answer(tag="manylinux_2_17_x86_64", libraries=("liba.so.1", "libb.so.1"), raw=shown),
        theirs=rules.Answer(tag="manylinux_2_28_x86_64", libraries=("libb.so.1",), raw={"external_libs": {}}),
    )
    row = rules.compare(case)
    assert row.mark == "!"
    assert row.differences == {"tag": None, "libraries": None}
    assert "manylinux_2_17_x86_64 | manylinux_2_28_x86_64  liba.so.1 | -" in row.text()
    assert "1 wheels: 0 equal, 0 explained, 1 not explained" in rules.summary([row])


@pytest.mark.usefixtures("rules")
def test_every_rule_is_told_in_the_table_and_nothing_else_is(top: Path) -> None:
    text = (top / "docs" / "differences.md").read_text("utf-8")
    told = re.findall(r"^\| `([a-z0-9-]+)` \|", text, re.MULTILINE)
    assert told == [rule.name for rule in importlib.import_module("compare_rules").RULES]


def test_the_collection_has_a_hundred_wheels_of_six_machines(top: Path) -> None:
    rows = json.loads((top / "tools" / "compare_wheels.json").read_text("utf-8"))
    names = [row["filename"] for row in rows]
    assert names == sorted(set(names), key=str.lower)
    assert all(re.fullmatch("[0-9a-f]{64}", row["sha256"]) and row["version"] in row["filename"] for row in rows)
    machines = Counter(
        re.sub(r".*?(x86_64|i686|aarch64|armv7l|ppc64le|s390x|riscv64|any)\.whl", r"\1", name) for name in names
    )
    assert len(rows) >= 110
    assert {"x86_64", "i686", "aarch64", "armv7l", "ppc64le", "s390x"} <= set(machines)
    assert min(machines[name] for name in ("i686", "aarch64", "armv7l", "ppc64le", "s390x")) >= 10
