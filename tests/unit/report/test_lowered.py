"""Symbols that were bound to an older glibc, as each output tells them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator
from rich.console import Console

from deloc8.repair.model import Goal
from deloc8.report.repair_terminal import repair_drawn
from deloc8.report.schema import schemas
from deloc8.workflow.audit import AuditOptions
from deloc8.workflow.repair import plan_repair
from kit.command import Command
from kit.elf import GLIBC, ElfSpec, NeedSpec, Undefined
from kit.scene import CORE, Scene

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("compat")
SPEC = ElfSpec(
    needed=(GLIBC,),
    undefined=(
        Undefined("stat", "GLIBC_2.33", GLIBC),
        Undefined("pthread_create", "GLIBC_2.34", GLIBC),
        Undefined("fcntl64", "GLIBC_2.28", GLIBC),
        Undefined("_Fork", "GLIBC_2.34", GLIBC, weak=True),
        Undefined("__libc_single_threaded", "GLIBC_2.32", GLIBC),
    ),
    relr=True,
    needs=(NeedSpec(GLIBC, "GLIBC_ABI_DT_RELR"),),
)
ASKED = ("--plat", "manylinux_2_17_x86_64", "--lower-glibc")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture
def wheel(scene: Scene) -> Path:
    return scene.wheel({CORE: SPEC, "demo/other.so": SPEC})


def lowering_lines(text: str) -> list[str]:
    named = re.sub(r"compat-[0-9a-f]{8}", "compat-HASH", text)
    return [line for line in named.splitlines() if line.startswith(("Lowering: ", "Adding: "))]


COMPAT = "demo.libs/libdeloc8_compat-HASH.so.1"
LINES = [
    "Lowering: pthread_create@GLIBC_2.34 of libc.so.6 -> pthread_create@GLIBC_2.2.5 of libpthread.so.0 (moved)",
    "Lowering: fcntl64@GLIBC_2.28 of libc.so.6 -> fcntl@GLIBC_2.2.5 of libc.so.6 (same)",
    "Lowering: _Fork@GLIBC_2.34 of libc.so.6 -> the symbol without a version (weak)",
    "Lowering: __libc_single_threaded@GLIBC_2.32 of libc.so.6 -> a constant of the file itself (constant)",
    "Lowering: GLIBC_ABI_DT_RELR of libc.so.6 -> relocations that are not packed (packed)",
    f"Lowering: stat@GLIBC_2.33 of libc.so.6 -> stat of the system, or else of {COMPAT} (code)",
    f"Adding: {COMPAT}, for systems that lack stat",
]


def test_text(command: Command, scene: Scene, wheel: Path) -> None:
    options = ("--sysroot", scene.root, "-w", scene.folder / "out", *ASKED)
    planned = command("fixup", wheel, *options, "--dry-run")
    assert planned.code == 0, planned.err
    assert lowering_lines(planned.out) == LINES
    _, _, rest = planned.out.partition("Lowering: fcntl64")
    assert rest.splitlines()[2:4] == [f"  in {CORE}", "  in demo/other.so"]
    done = command("fixup", wheel, *options)
    assert done.code == 0, done.err
    assert lowering_lines(done.out) == LINES
    assert "  in " not in done.out


STAT, START = Undefined("stat", "GLIBC_2.33", GLIBC), Undefined("__libc_start_main", "GLIBC_2.34", GLIBC)


@pytest.mark.parametrize(
    ("undefined", "purpose"),
    [((START,), "for deloc8_start_main"), ((STAT, START), "for systems that lack stat, and for deloc8_start_main")],
)
def test_functions_with_names_of_their_own_are_taken_on_every_system(
    command: Command, scene: Scene, undefined: tuple[Undefined, ...], purpose: str
) -> None:
    wheel = scene.wheel({CORE: ElfSpec(needed=(GLIBC,), undefined=undefined)})
    done = command("fixup", wheel, "--sysroot", scene.root, "-w", scene.folder / "out", *ASKED)
    assert done.code == 0, done.err
    assert lowering_lines(done.out)[-2:] == [
        f"Lowering: __libc_start_main@GLIBC_2.34 of libc.so.6 -> deloc8_start_main of {COMPAT} (code)",
        f"Adding: {COMPAT}, {purpose}",
    ]


def test_json(command: Command, scene: Scene, wheel: Path) -> None:
    ended = command("fixup", wheel, "--sysroot", scene.root, "-w", scene.folder / "out", *ASKED, "--format", "json")
    assert ended.code == 0, ended.err
    Draft202012Validator(schemas()["fixup"]).validate(ended.json)
    (result,) = ended.json["wheels"]
    assert [(row["file"], row["symbol"], row["from"], row["to"], row["class"]) for row in result["rewrites"][:4]] == [
        (CORE, "stat", "GLIBC_2.33", None, "code"),
        (CORE, "pthread_create", "GLIBC_2.34", "GLIBC_2.2.5", "moved"),
        (CORE, "_Fork", "GLIBC_2.34", None, "weak"),
        (CORE, "fcntl64", "GLIBC_2.28", "GLIBC_2.2.5", "same"),
    ]
    assert result["rewrites"][3]["to_symbol"] == "fcntl"
    assert result["compat"]["functions"] == ["stat"]
    edits = {edit["edit"] for edit in result["patches"][0]["edits"]}
    assert {"bind-version", "drop-version", "bind-to-zero", "unpack-relocations", "add-needed"} <= edits


def test_html(command: Command, scene: Scene, wheel: Path) -> None:
    ended = command("fixup", wheel, "--sysroot", scene.root, "-w", scene.folder / "out", *ASKED, "--format", "html")
    assert ended.code == 0, ended.err
    assert "<h3>Symbols bound to an older glibc</h3>" in ended.out
    assert "pthread_create@GLIBC_2.2.5 of libpthread.so.0" in ended.out
    assert "libpthread.so.0" in re.search(r"<h3>Edited files</h3>.*?</table>", ended.out, re.DOTALL)[0]  # type: ignore[index]


def test_a_terminal(scene: Scene, wheel: Path) -> None:
    goal = Goal(platform="manylinux_2_17_x86_64", lower_glibc=True)
    plan = plan_repair(wheel, goal, AuditOptions(sysroot=scene.root))
    console = Console(width=400)
    with console.capture() as captured:
        for part in repair_drawn(plan, scene.folder):
            console.print(part, soft_wrap=True)
    shown = " ".join(captured.get().split())
    assert re.search(r"would be added: demo.libs/libdeloc8_compat-\w+.so.1, for systems that lack stat", shown)
    assert "fcntl@GLIBC_2.2.5 of libc.so.6" in shown


def test_packed_relocations_without_a_marker_are_named_otherwise(command: Command, scene: Scene) -> None:
    wheel = scene.wheel({CORE: ElfSpec(needed=(GLIBC,), relr=True)})
    result = command("fixup", wheel, *ASKED, "--sysroot", scene.root, "--dry-run", "-w", scene.folder / "out")
    assert lowering_lines(result.out) == [
        "Lowering: packed relocations without a marker -> relocations that are not packed (packed)"
    ]
    way = command("why", wheel, "manylinux_2_17", "--sysroot", scene.root).out
    assert "--lower-glibc" in way
