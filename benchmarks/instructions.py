"""Refuse a change that makes deloc8 execute more instructions: a gate of `.ci/run` that no other load can disturb.

    python benchmarks/instructions.py            compare with instructions.json; the exit code is 1 beyond +10 %
    python benchmarks/instructions.py --renew    write the figures of this Python there: after a change that is worth it

valgrind's callgrind counts the instructions of three kinds of work (counted.py), with a fixed environment and seed of
hashes: then they repeat almost to the last digit. Another build of Python executes others, so the figures are kept by
build; for a build without figures the gate says that it was skipped. What is counted is the plain Python that the
virtual environment was made from, without packages.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
FIGURES = HERE / "instructions.json"
WORKS = ("start", "reading", "judging")
MOST = 1.10
WORTH_RENEWING = 0.97
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}
_TIMEOUT = 300


def build() -> str:
    """The name of this build of Python and of the libraries that it works with."""
    words = f"{sysconfig.get_config_var('CONFIG_ARGS')} {sysconfig.get_config_var('CFLAGS')}".split()
    # A word with a slash says where it was built or installed: that changes no instruction.
    flags = " ".join(word for word in words if "/" not in word)
    parts = (
        f"{platform.python_implementation()} {platform.python_version()}",
        platform.machine(),
        platform.python_compiler(),
        "flags " + hashlib.sha256(flags.encode()).hexdigest()[:8],
        " ".join(platform.libc_ver()),
        f"zlib {zlib.ZLIB_RUNTIME_VERSION}",
    )
    return ", ".join(parts)


def python(folder: Path, *options: str) -> list[str]:
    """The command of the plain interpreter, without packages, its compiled modules in a folder of ours."""
    program = getattr(sys, "_base_executable", None) or sys.executable
    # -I would ignore the seed of hashes, which must be the same every time.
    return [program, "-s", "-S", *options, "-X", f"pycache_prefix={folder}/cache", str(HERE / "counted.py")]


def count(work: str, folder: Path) -> int:
    """The instructions of one kind of work."""
    command = [
        shutil.which("valgrind") or "valgrind",
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        *python(folder, "-B"),
        work,
    ]
    # Once without valgrind, so that no module has to be compiled while instructions are counted.
    for words in ([*python(folder), work], command):
        done = subprocess.run(
            [*words, str(folder)], env=_ENVIRONMENT, capture_output=True, text=True, check=False, timeout=_TIMEOUT
        )
        if done.returncode:
            raise SystemExit(f"instructions: FAILED: {' '.join(words)}: exit {done.returncode}\n{done.stderr}")
    found = re.search(r"Collected : (\d+)", done.stderr)
    if not found:
        raise SystemExit(f"instructions: FAILED: callgrind tells no sum\n{done.stderr}")
    return int(found[1])


def measure(works: tuple[str, ...]) -> dict[str, int]:
    """The instructions of each kind of work."""
    with tempfile.TemporaryDirectory(prefix="count-") as top:
        folder = Path(top)
        subprocess.run([*python(folder), "prepare", top], env=_ENVIRONMENT, check=True, timeout=_TIMEOUT)
        return {work: count(work, folder) for work in works}


def judge(counts: dict[str, int], known: dict[str, int], renew: str) -> int:
    """The exit code: 1 when some work takes more instructions than is allowed."""
    shares = {work: counts[work] / known[work] for work in counts}
    for work, share in shares.items():
        print(f"instructions: {work}: {counts[work]:,} ({share - 1:+.2%} of the committed {known[work]:,})")
    if max(shares.values()) > MOST:
        print(f"instructions: FAILED: more than {MOST - 1:.0%} above the figures; if that is meant: {renew}")
        return 1
    if min(shares.values()) < WORTH_RENEWING:
        print(f"instructions: fewer than committed; to keep what was gained: {renew}")
    return 0


def main() -> int:
    """The exit code: 1 when some work takes more instructions than is allowed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--renew", action="store_true", help="write the figures of this Python")
    parser.add_argument("--only", choices=WORKS, help="this kind of work alone")
    parser.add_argument("--figures", type=Path, default=FIGURES, metavar="FILE", help="default: instructions.json")
    options = parser.parse_args()
    renew = "python benchmarks/instructions.py --renew"
    if shutil.which("valgrind") is None:
        print("instructions: skipped: valgrind is not installed")
        return 0
    figures = json.loads(options.figures.read_text("utf-8")) if options.figures.exists() else {}
    if build() not in figures and not options.renew:
        print(f"instructions: skipped: there are figures for {len(figures)} builds of Python, but none for this one:")
        print(f"instructions:   {build()}\ninstructions: to add them: {renew}")
        return 0
    counts = measure((options.only,) if options.only else WORKS)
    if not options.renew:
        return judge(counts, figures[build()], renew)
    figures[build()] = figures.get(build(), {}) | counts
    options.figures.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n", "utf-8")
    print(f"instructions: {build()}: {counts} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
