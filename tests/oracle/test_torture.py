"""`make torture` on a handful of files, and with an editor that does something wrong: the proofs must notice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from kit.compile import Toolchain, build
from kit.require import require

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = '#include <math.h>\n#include <stdio.h>\ndouble my_root(double x) { puts("root of"); return sqrt(x); }\n'
PROGRAM = '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n'
MATH = ("-fno-builtin", "-Wl,--no-as-needed", "-lm")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("readelf", "binutils")
    pytest.importorskip("lief", reason="needs the layout checker of LIEF (PyPI: lief)")
    folder = tmp_path_factory.mktemp("files")
    gcc = Toolchain("gcc")
    library = build(SOURCE, gcc, options=MATH).read_bytes()
    (folder / "libroot.so").write_bytes(library)
    (folder / "libcopy.so").write_bytes(library)
    (folder / "libfar.so").write_bytes(build(SOURCE, gcc, options=(*MATH, "-Wl,-rpath,$ORIGIN/x")).read_bytes())
    (folder / "hello").write_bytes(build(PROGRAM, gcc, kind="pie").read_bytes())
    (folder / "fixed").write_bytes(build(PROGRAM, gcc, kind="static-address", options=("-static",)).read_bytes())
    (folder / "text.so").write_text("INPUT(libroot.so)")
    return folder


@pytest.fixture(scope="module")
def one_file(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    (folder / "libroot.so").symlink_to(files / "libroot.so")  # is passed over
    (folder / "libone.so").write_bytes((files / "libroot.so").read_bytes())
    return folder


def torture(top: Path, files: Path, report: Path, before: str = "") -> tuple[int, str, dict[str, Any]]:
    """The exit code, the output, and the rows of the report by file name; `before` is run first."""
    code = f"import sys; sys.path.insert(0, {str(top / 'tools')!r}); import torture; {before}\nsys.exit(torture.main())"
    command = [sys.executable, "-c", code, "--roots", str(files), "--report", str(report), "--workers", "1"]
    environ = {**os.environ, "PYTHONPATH": str(top / "tests")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert "Traceback" not in done.stderr, done.stderr
    rows = [json.loads(line) for line in report.read_text().splitlines()]
    return done.returncode, done.stdout, {row["path"].rpartition("/")[2]: row for row in rows}


def test_each_file_is_edited_or_refused(top: Path, files: Path, tmp_path: Path) -> None:
    code, said, rows = torture(top, files, tmp_path / "report")
    assert code == 0, said
    # Of two equal files one counts, and what is no ELF file does not.
    assert {"hello", "fixed", "libfar.so"} <= rows.keys()
    assert len(rows) == 4
    outcomes = {name: row["outcomes"]["deloc8"] for name, row in rows.items()}
    assert outcomes.pop("fixed").startswith("refused: it has no dynamic section")
    assert set(outcomes.values()) == {"edited"}
    assert {row["outcomes"]["patchelf"] for name, row in rows.items() if name != "fixed"} == {"edited"}
    assert [row["opened"] for name, row in rows.items() if name.startswith("lib")] == [
        {"deloc8": "opened", "patchelf": "opened"}
    ] * 2
    assert "4 files of 1 machines, 18 edited files proven" in said
    # What is in the report is not tried again.
    assert "4 files, 4 of them in the report" in torture(top, files, tmp_path / "report")[1]


@pytest.mark.parametrize(
    ("sabotage", "noticed"),
    [
        ("data.replace(b'libtorture', b'libforgery')", "names"),
        ("data.replace(b'my_root', b'my_toor')", "tables"),
        ("data.replace(b'root of', b'toor of')", "segments"),
        ("data[:-100]", "refuses its own work"),
        ("data.replace(b'links', b'pinks')", "loader"),
    ],
)
def test_a_wrong_edit_is_noticed(top: Path, one_file: Path, tmp_path: Path, sabotage: str, noticed: str) -> None:
    before = (
        "honest = torture.EDITORS['deloc8']\n"
        "def wrong(source, target, wish):\n"
        "    honest(source, target, wish)\n"
        "    data = target.read_bytes()\n"
        f"    target.write_bytes({sabotage})\n"
        "torture.EDITORS['deloc8'] = wrong\n"
    )
    code, said, rows = torture(top, one_file, tmp_path / "report", before)
    assert code == 1, said
    failed = rows["libone.so"]["outcomes"]["deloc8"]
    assert failed.startswith("failed: ")
    assert noticed in failed
