"""Run the tests on every CPython from 3.10 up that this machine has, one line of result for each.

    python tools/test_all.py [PYTEST-ARGUMENT...]        (`make test-all` calls it)

Looks on PATH and among pyenv's versions. Each Python gets a virtual environment of its own under .venvs/, made anew
when pyproject.toml has changed. What the tests ask for a second opinion is installed where it has a wheel for that
Python; the tests that miss it are skipped and counted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TOP = Path(__file__).resolve().parent.parent
OLDEST, NEWEST = 10, 16
PROBE = "import sys; print(sys.implementation.name, '%d.%d' % sys.version_info[:2])"


def candidates() -> list[Path]:
    """Every program that may be a CPython of interest."""
    named = [shutil.which(f"python3.{minor}") for minor in range(OLDEST, NEWEST)]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path("~/.pyenv").expanduser()) / "versions"
    return [Path(sys.executable), *(Path(name) for name in named if name), *sorted(pyenv.glob("3.*/bin/python3"))]


def find_pythons() -> dict[str, Path]:
    """One Python for each minor version, by that version."""
    found: dict[str, Path] = {}
    for program in candidates():
        probe = subprocess.run([program, "-c", PROBE], capture_output=True, text=True, check=False)
        words = probe.stdout.split()
        # pyenv's shims stand on PATH for versions that are not chosen, and fail.
        if probe.returncode == 0 and words[0] == "cpython" and int(words[1].split(".")[1]) >= OLDEST:
            found.setdefault(words[1], program)
    return dict(sorted(found.items(), key=lambda item: int(item[0].split(".")[1])))


def oracles() -> list[str]:
    """The requirements of the group "oracles", which need not all have a wheel for a Python."""
    groups = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    return [str(requirement) for requirement in groups["oracles"]]


def environment(python: Path, version: str) -> Path:
    """The Python of a virtual environment in which deloc8 is installed for tests."""
    folder = TOP / ".venvs" / version
    program = folder / "bin" / "python"
    ready = folder / ".ready"
    newest = max((TOP / name).stat().st_mtime for name in ("pyproject.toml", "constraints.txt"))
    if ready.exists() and ready.stat().st_mtime > newest:
        return program
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([python, "-m", "venv", folder], check=True)
    install = [str(program), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    install += ["--constraint", str(TOP / "constraints.txt")]
    subprocess.run([*install, "--upgrade", "pip>=25.1"], check=True)
    subprocess.run([*install, "--editable", ".[terminal]", "--group", "test-core"], check=True, cwd=TOP)
    for optional in ["deflate>=0.7", *oracles()]:
        command = [*install, "--only-binary=:all:", optional]
        if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode:
            print(f"Python {version}: {optional} has no wheel for it; its tests are skipped", flush=True)
    ready.touch()
    return program


def run(python: Path, version: str, arguments: list[str]) -> tuple[bool, str]:
    """Whether the tests passed, and pytest's last line; a failure is printed in full."""
    try:
        program = environment(python, version)
    except subprocess.CalledProcessError as error:
        return False, f"no environment could be made: {error}"
    command = [str(program), "-m", "pytest", "-q", "-n", "auto", "-p", "no:cacheprovider", *arguments]
    ended = subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if ended.returncode:
        print(ended.stdout, flush=True)
    lines = ended.stdout.strip().splitlines() or ["no output"]
    return ended.returncode == 0, lines[-1].strip("= ")


def main(arguments: list[str]) -> int:
    """The exit code: 0 when every Python passed."""
    everything_passed = True
    for version, python in find_pythons().items():
        passed, line = run(python, version, arguments)
        print(f"Python {version}: {'passed' if passed else 'FAILED'}: {line}", flush=True)
        everything_passed &= passed
    return 0 if everything_passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
