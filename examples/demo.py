"""The demo: a wheel that works only where it was built, and the same wheel after `deloc8 fixup`.

    python examples/demo.py FOLDER        (`make demo` calls it; everything happens inside FOLDER)

1. builds a wheel whose extension module needs two libraries that it does not contain;
2. audits it with `deloc8 show`;
3. repairs it with `deloc8 fixup`;
4. hides the libraries, installs the unrepaired wheel into a clean environment, and sees its import fail;
5. installs the repaired wheel there, and sees it work.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from build_demo import build

USE = 'import greeting; print(greeting.greet("world")); print(greeting.loudness(100), "dB")'
EXPECTED = "Hello, world!\n20.0 dB\n"


def step(number: int, title: str) -> None:
    """Nothing; the headline of a step is printed."""
    print(f"\n=== {number}. {title}", flush=True)


def run(command: list[str], *, libraries: Path | None = None, must_fail: bool = False) -> str:
    """What the command wrote to stdout; it is shown, and must end as expected.

    Args:
        command: The program and its arguments.
        libraries: A folder for LD_LIBRARY_PATH. Without one the variable is unset.
        must_fail: Whether a failure is what is expected.
    """
    hidden = {"LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    assignment = ""
    if libraries:
        environment["LD_LIBRARY_PATH"] = str(libraries.resolve())
        assignment = f"LD_LIBRARY_PATH={shlex.quote(environment['LD_LIBRARY_PATH'])} "
    program, *arguments = command
    print(f"$ {assignment}{shlex.join([os.path.relpath(program), *arguments])}", flush=True)
    result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=None, text=True, check=False)
    print(result.stdout, end="", flush=True)
    if must_fail != bool(result.returncode):
        raise SystemExit(f"demo: the command ended with {result.returncode}, which was not expected")
    return result.stdout


def main(folder: Path) -> None:
    """Nothing; the demo has run, or SystemExit says which step failed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    wheelhouse = folder / "wheelhouse"
    deloc8 = str(Path(sys.executable).with_name("deloc8"))

    step(1, "Build a wheel, and two libraries that it needs and does not contain")
    wheel, libraries = build(folder)

    step(2, "What binds it to this machine?")
    run([deloc8, "show", str(wheel)], libraries=libraries)

    step(3, "Set it free")
    run([deloc8, "fixup", str(wheel), "-w", str(wheelhouse)], libraries=libraries)
    (repaired,) = wheelhouse.glob("*.whl")

    step(4, "Hide the libraries, and install the unrepaired wheel into a clean environment: its import must fail")
    hidden = libraries.with_name("libraries-hidden")
    print(f"$ mv {libraries} {hidden}")
    libraries.rename(hidden)
    try:
        use(folder / "clean", wheel, repaired)
    finally:
        hidden.rename(libraries)
    print(f"\nThe repaired wheel needs nothing of this machine: {repaired}")


def use(environment: Path, wheel: Path, repaired: Path) -> None:
    """Nothing; the unrepaired wheel has failed in a clean environment, and the repaired one has worked."""
    python = str(environment / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    run([sys.executable, "-m", "venv", str(environment)])
    run([*install, str(wheel)])
    run([python, "-I", "-c", USE], must_fail=True)

    step(5, "Install the repaired wheel instead: it must work")
    run([*install, "--force-reinstall", str(repaired)])
    if (said := run([python, "-I", "-c", USE])) != EXPECTED:
        raise SystemExit(f"demo: it said {said!r} and not {EXPECTED!r}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
