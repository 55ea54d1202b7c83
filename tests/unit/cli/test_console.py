from __future__ import annotations

import io
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from deloc8.cli import commands
from deloc8.cli.console import Console
from deloc8.diagnostic import Diagnostic, Severity
from deloc8.errors import WheelError
from deloc8.text import lines

if TYPE_CHECKING:
    from collections.abc import Mapping


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def console_of(
    color: str = "auto", environ: Mapping[str, str] | None = None, err: io.StringIO | None = None
) -> tuple[Console, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), err or io.StringIO()
    return Console(out=out, err=err, environ=environ or {}, color=color), out, err


ERROR = WheelError("it is odd", code="odd", context=("here", "there"), notes=("by the way",), hints=("mend it",))


def test_an_error_has_the_house_shape() -> None:
    console, out, err = console_of()
    console.error(ERROR)
    assert err.getvalue() == "error: it is odd [odd]\n  here\n  there\n\nnote: by the way\nhint: mend it\n"
    assert out.getvalue() == ""


def test_an_error_without_advice_ends_without_an_empty_line() -> None:
    console, _, err = console_of()
    console.error(WheelError("it is odd", code="odd"))
    assert err.getvalue() == "error: it is odd [odd]\n"


def test_a_finding_has_its_shape() -> None:
    console, _, err = console_of()
    finding = Diagnostic(
        code="odd", severity=Severity.WARNING, subject="a.so", message="is odd", context=("here",), hints=("mend it",)
    )
    console.diagnostic(finding)
    assert err.getvalue() == "warning: a.so: is odd [odd]\n  here\nhint: mend it\n"


@pytest.mark.parametrize(
    ("color", "environ", "terminal", "colored"),
    [
        ("auto", {}, False, False),
        ("auto", {}, True, True),
        ("auto", {"NO_COLOR": "1"}, True, False),
        ("auto", {"NO_COLOR": ""}, True, True),
        ("auto", {"FORCE_COLOR": "1"}, False, True),
        ("auto", {"FORCE_COLOR": ""}, False, False),
        ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ("always", {"NO_COLOR": "1"}, False, True),
        ("never", {"FORCE_COLOR": "1"}, True, False),
    ],
)
def test_colors(color: str, environ: dict[str, str], *, terminal: bool, colored: bool) -> None:
    console, _, err = console_of(color, environ, Terminal() if terminal else None)
    console.error(ERROR)
    first = err.getvalue().split("\n")[0]
    assert first == ("\x1b[1;31merror:\x1b[0m it is odd [odd]" if colored else "error: it is odd [odd]")


def test_a_terminal_gets_no_control_characters_but_line_ends_of_ours() -> None:
    console, out, err = console_of()
    console.data(lines(("a\x1b[2J", "\tb\udcff\u202e\x9b\n")))
    console.say("a\nb\x07")
    console.error(WheelError("a\nb", code="odd", context=("c\rd",), hints=("e\x1b",)))
    assert out.getvalue() == "a\\x1b[2J\n\\tb\\udcff\\u202e\\x9b\\n\n"
    assert err.getvalue() == "a\\nb\\x07\nerror: a\\nb [odd]\n  c\\rd\n\nhint: e\\x1b\n"


def test_importing_it_needs_no_heavy_modules() -> None:
    code = "import sys; import deloc8.cli.console; print(*{'argparse', 'rich', 'logging'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == []


@pytest.mark.parametrize(("code", "told"), [("split-package", True), ("rpath-kept", True), ("program-moved", False)])
def test_some_notes_of_a_repair_are_told_without_v(code: str, told: bool) -> None:  # noqa: FBT001  a parameter
    console, out, err = console_of()
    note = Diagnostic(code=code, severity=Severity.NOTE, subject="libx.so.1", message="is told", context=(), hints=())
    commands._tell([note], console)
    assert ("libx.so.1: is told" in err.getvalue()) is told
    assert out.getvalue() == ""
