"""The programs of a wheel, installed into a virtual environment and started there by their own paths."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ENVIRONMENT = Path("/tmp/environment")  # noqa: S108  a folder of this process alone
subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(ENVIRONMENT)], check=True)
(wheel,) = Path("/mnt/wheel").glob("*.whl")
python = str(ENVIRONMENT / "bin" / "python")
# Debian's own packages, among them the installer, are on its path only for this.
subprocess.run(
    [python, "-m", "installer", str(wheel)], check=True, env={"PYTHONPATH": "/usr/lib/python3/dist-packages"}
)
for name in sys.argv[1:]:
    ended = subprocess.run(
        [str(ENVIRONMENT / "bin" / name), "one", "two words"], capture_output=True, text=True, check=False, env={}
    )
    print(name, ended.returncode, ended.stdout.strip() or ended.stderr.strip().splitlines()[-1:])
