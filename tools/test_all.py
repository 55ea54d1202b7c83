"""Run the tests on every CPython from 3.10 up that this machine has, one line of result for each.

    python tools/test_all.py [PYTEST-ARGUMENT...]        (`make test-all` calls it)

Looks on PATH and among pyenv's versions. Each Python gets a virtual environment of its own under .venvs/, made anew
when pyproject.toml or requirements/ has changed. What the tests ask for a second opinion is installed where it has a
wheel for that Python; the tests that miss it are skipped and counted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
OLDEST, NEWEST = 10, 16
# Files of requirements/. The second are other opinions, and what is fast: not every Python has wheels of them.
NEEDED = ("build", "terminal", "test-core")
OPTIONAL = ("fast", "compiler", "oracles")
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


def locked(python: Path, *names: str) -> list[str | Path]:
    """The command that installs files of requirements/: wheels whose hashes are known, and nothing beside them."""
    command: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--require-hashes", "--no-deps", "--only-binary", ":all:"]
    for name in names:
        command += ["--requirement", TOP / "requirements" / f"{name}.txt"]
    return command


def environment(python: Path, version: str) -> Path:
    """The Python of a virtual environment in which deloc8 is installed for tests."""
    folder = TOP / ".venvs" / version
    program = folder / "bin" / "python"
    ready = folder / ".ready"
    made_from = [TOP / "pyproject.toml", *(TOP / "requirements").glob("*.txt")]
    newest = max(path.stat().st_mtime for path in made_from)
    if ready.exists() and ready.stat().st_mtime > newest:
        return program
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([python, "-m", "venv", folder], check=True)
    subprocess.run(locked(program, *NEEDED), check=True)
    project: list[str | Path] = [program, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    project += ["--no-index", "--no-deps"]
    subprocess.run([*project, "--no-build-isolation", "--editable", TOP], check=True)
    for name in OPTIONAL:
        if subprocess.run(locked(program, name), stderr=subprocess.DEVNULL, check=False).returncode:
            print(f"Python {version}: requirements/{name}.txt has no wheels for it; its tests are skipped", flush=True)
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
