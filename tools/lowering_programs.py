"""Print how many programs of a folder `--lower-glibc` brings to an old tag, and what blocks the others.

    python tools/lowering_programs.py [FOLDER [TAG]]

FOLDER is /usr/bin and TAG manylinux_2_17 where nothing is given. A program is put into a wheel by itself, as a script;
nothing else is written. Counted is what glibc's versions do to the program's own file: the libraries that it needs are
grafted or refused as those of every wheel. Small differences (`--allow differs`) are counted apart.
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from deloc8 import AuditOptions, audit_wheel
from deloc8.audit.verdict import find_tag
from deloc8.errors import Deloc8Error
from deloc8.repair.lowering.choose import is_lowerable, lower

if TYPE_CHECKING:
    from collections.abc import Iterator

TAG = "manylinux_2_17"
AS_IT_IS, LOWERED, WITH_DIFFERS, REFUSED, SET_ASIDE = "as it is", "lowered", "+ differs", "refused", "not judged"

_METADATA = "Metadata-Version: 2.1\nName: program\nVersion: 1.0\n"
_WHEEL = "Wheel-Version: 1.0\nGenerator: tool\nRoot-Is-Purelib: false\nTag: py3-none-linux_{machine}\n"
_MACHINES = {b"\x3e\x00": "x86_64", b"\xb7\x00": "aarch64", b"\x03\x00": "i686"}
_INTERPRETER = 3


def programs(folder: Path) -> Iterator[tuple[Path, str]]:
    """The programs of a folder that ld.so starts, with their machines; of the names of one file, the first."""
    seen = set()
    for path in sorted(folder.iterdir()):
        real = path.resolve()
        if real in seen or not real.is_file():
            continue
        seen.add(real)
        with real.open("rb") as stream:
            head = stream.read(4096)
        machine = _MACHINES.get(head[18:20])
        if head.startswith(b"\x7fELF") and machine and b"/ld-linux" in head:
            yield path, machine


def write_wheel(folder: Path, program: Path, machine: str) -> Path:
    """The wheel that has one program."""
    wheel = folder / f"program-1.0-py3-none-linux_{machine}.whl"
    members = {
        "program-1.0.data/scripts/program": program.read_bytes(),
        "program-1.0.dist-info/METADATA": _METADATA.encode(),
        "program-1.0.dist-info/WHEEL": _WHEEL.format(machine=machine).encode(),
    }
    record = "".join(f"{name},,\n" for name in (*members, "program-1.0.dist-info/RECORD"))
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in (*members.items(), ("program-1.0.dist-info/RECORD", record.encode())):
            archive.writestr(name, data)
    return wheel


def judge(program: Path, machine: str, tag: str) -> tuple[str, list[str]]:
    """What the least is that brings a program to a tag, and the symbols that block it."""
    with tempfile.TemporaryDirectory() as scratch:
        audit = audit_wheel(write_wheel(Path(scratch), program, machine), AuditOptions(dlopen=False))
    match = audit.match(find_tag(audit, f"{tag}_{machine}"))
    labels = {file.label for file in audit.facts.own}
    if not any(row.file in labels and is_lowerable(row) for row in match.violations):
        return AS_IT_IS, []
    barred = {}
    for differs in (False, True):
        lowering = lower(audit.facts, match, allow_differs=differs)
        barred[differs] = [row.violation for row in lowering.refused if row.violation.file in labels]
    if not barred[False]:
        return LOWERED, []
    symbols = sorted(f"{row.symbol or ''}@{row.version}" for row in barred[False])
    return (REFUSED if barred[True] else WITH_DIFFERS), symbols


def main() -> None:
    """Read the arguments and print the counts."""
    folder, tag = (*map(str, sys.argv[1:]), *("/usr/bin", TAG)[len(sys.argv) - 1 :])
    counts: Counter[str] = Counter()
    blocking: Counter[str] = Counter()
    for program, machine in programs(Path(folder)):
        try:
            found, symbols = judge(program, machine, tag)
        except Deloc8Error as error:
            print(f"{program.name}: {error}")
            found, symbols = SET_ASIDE, []
        counts[found] += 1
        blocking.update(symbols)
        print(f"{program.name}: {found}{''.join(f' {symbol}' for symbol in symbols)}")
    print(f"{tag}, of {counts.total()}: {', '.join(f'{count} {how}' for how, count in counts.most_common())}")
    print(*(f"{count} {symbol}" for symbol, count in blocking.most_common(40)), sep="\n")


if __name__ == "__main__":
    main()
