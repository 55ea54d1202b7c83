"""A bare distribution in a folder, and programs run inside it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kit.require import require

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_MERGED = ("bin", "sbin", "lib", "lib64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """An unpacked distribution.

    Attributes:
        path: Its root folder.
        emulator: The program that runs its programs, where they are for another machine.
    """

    path: Path
    emulator: str | None = None

    def python(self, arguments: Sequence[str], *, wheel: Path, scripts: Path) -> subprocess.CompletedProcess[str]:
        """How the distribution's own Python ended.

        Args:
            arguments: Its arguments.
            wheel: An unpacked wheel, found at /mnt/wheel, which is on sys.path.
            scripts: A folder of scripts, found at /mnt/scripts.
        """
        command = [require("bwrap", "Debian: bubblewrap"), "--unshare-net", "--clearenv"]
        command += ["--ro-bind", str(self.path), "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]  # noqa: S108  its own /tmp
        command += ["--tmpfs", "/mnt", "--ro-bind", str(wheel), "/mnt/wheel", "--ro-bind", str(scripts), "/mnt/scripts"]
        command += ["--setenv", "PYTHONPATH", "/mnt/wheel", "--setenv", "LC_ALL", "C.UTF-8", "--chdir", "/"]
        if self.emulator:
            command += ["--ro-bind", self.emulator, "/mnt/emulator", "/mnt/emulator"]
        command += ["/usr/bin/python3", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def debian(suite: str, packages: Sequence[str], machine: str | None = None) -> Root:
    """A Debian with these packages and what they depend on, unpacked once and kept in the user's cache.

    The packages come from the mirror that this machine's apt is set up with. Takes 5 s and 75 MB. Where something is
    missing the test is skipped.

    Args:
        suite: The release.
        packages: The packages that are asked for.
        machine: Debian's name of another machine; None for this one.
    """
    words = [suite, *packages] + ([machine] if machine else [])
    key = hashlib.sha256(" ".join(words).encode()).hexdigest()[:12]
    cache = cache_folder()
    path = cache / f"{suite}-{key}"
    with (cache / f"{suite}-{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            _unpack(suite, [f"--include={','.join(packages)}", *_architectures(machine)], path)
    return Root(path=path)


def _architectures(machine: str | None) -> list[str]:
    return [f"--architectures={machine}"] if machine else []


def _unpack(suite: str, options: Sequence[str], path: Path) -> None:
    mmdebstrap = require("mmdebstrap", "Debian: mmdebstrap")
    address = mirror()
    if not _KEYRING.exists():
        pytest.skip(f"needs {_KEYRING} (Debian: debian-archive-keyring)")
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        # Other users too may run what is unpacked, and apt's own user must reach it.
        scratch.chmod(0o755)
        root = scratch / "root"
        command = [mmdebstrap, "--quiet", "--variant=extract", *options]
        command += [f"--keyring={_KEYRING}", suite, str(root), address]
        ended = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=600, check=False
        )
        if ended.returncode and os.geteuid():
            last = ended.stderr.strip().splitlines()[-1:]
            pytest.skip(f"mmdebstrap can unpack no distribution as this user, only as root: {''.join(last)}")
        assert ended.returncode == 0, ended.stderr
        for name in ("proc", "dev", "tmp", "mnt"):
            (root / name).mkdir(exist_ok=True)
        for name in _MERGED:
            if not (root / name).exists() and (root / "usr" / name).exists():
                (root / name).symlink_to(f"usr/{name}")
        root.rename(path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def mirror() -> str:
    """The address of the first archive that apt is set up with, security updates aside."""
    apt = require("apt-get", "Debian")
    command = [apt, "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    addresses = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    for address in addresses:
        if "security" not in address:
            return address
    pytest.skip("needs an apt that is set up with a Debian mirror")


def cache_folder() -> Path:
    """A folder that outlives the run: the user's cache, or the repository's .cache where no home can be written to."""
    top = Path(__file__).resolve().parent.parent.parent
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "deloc8-tests"
    for folder in (user, top / ".cache"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    pytest.skip("needs a folder to keep a distribution in")
