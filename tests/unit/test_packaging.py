"""What is published: the wheel and the source distribution of deloc8 itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from compat import backend, build
from compat.hatch_build import CompatibilityLibraries
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from kit.command import run_program
from kit.compat_library import MACHINES, compat_library
from kit.runtimes import extract

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet


@pytest.fixture(scope="module")
def wheel(top: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(top, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(top: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (path,) = SdistBuilder(str(top)).build(directory=str(tmp_path_factory.mktemp("sdist")), versions=["standard"])
    return Path(path)


def build_wheel(source: Path, folder: Path) -> Path:
    if find_spec("ziglang") is None:
        pytest.skip("needs the compiler of ziglang (PyPI: ziglang)")
    (path,) = WheelBuilder(str(source)).build(directory=str(folder), versions=["standard"])
    return Path(path)


def members(wheel: Path) -> AbstractSet[str]:
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        return set(archive.namelist())


def test_wheel_holds_every_file_of_the_package_and_nothing_else(top: Path, wheel: Path) -> None:
    source = top / "src"
    package = {
        path.relative_to(source).as_posix()
        for path in (source / "deloc8").rglob("*")
        if path.is_file() and path.suffix not in {".pyc", ".so", ".zlib"}
    }
    package |= {f"deloc8/repair/data/compat/{machine}.so.zlib" for machine in MACHINES}
    assert {"deloc8/py.typed", "deloc8/cli/__init__.py"} <= package
    assert any(re.fullmatch(r"deloc8/policy/data/.*\.json", name) for name in package)
    assert {name for name in members(wheel) if ".dist-info/" not in name} == package


def test_wheel_carries_the_licenses(wheel: Path) -> None:
    for name in ("LICENSE", "compat/LICENSE"):
        assert any(member.endswith(f".dist-info/licenses/{name}") for member in members(wheel))
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        assert b"\nLicense-Expression: MIT AND MIT-0\n" in archive.read(metadata)


def test_what_travels_in_the_wheels_of_others_asks_nothing_of_them(top: Path) -> None:
    """SPDX: MIT-0 is MIT without the condition that the notice is passed on."""
    condition = "The above copyright notice and this permission notice shall be included in all\ncopies or substantial "
    text = (top / "LICENSE").read_text().replace(f"{condition}portions of the Software.\n\n", "")
    text = text.replace("MIT License", "MIT No Attribution").replace(", subject to the following conditions:", ".")
    assert (top / "compat/LICENSE").read_text() == text
    assert "shall be included" not in text
    for source in (top / "compat/src").iterdir():
        assert source.read_text().startswith("/* SPDX-License-Identifier: MIT-0 */\n"), source


def test_sdist_holds_what_the_targets_of_make_need(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert not {name for name in names if name.endswith((".so", ".zlib", ".o"))}
    assert {"compat/build.py", "compat/hatch_build.py", "compat/src/compat.h", "compat/src/stat.c"} <= names
    expected = {"Makefile", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md"}
    expected |= {"SECURITY.md", "requirements/deloc8.txt", "requirements/test-core.txt"}
    assert expected | {"examples/demo.py", "tests/conftest.py", "tools/test_all.py", "benchmarks/bench.py"} <= names


def test_sdist_builds_the_same_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    unpacked = extract(sdist, tmp_path)
    rebuilt = build_wheel(unpacked, tmp_path / "dist")
    assert rebuilt.name == wheel.name
    assert rebuilt.read_bytes() == wheel.read_bytes()


def test_wheel_carries_the_compatibility_libraries(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for machine in MACHINES:
            data = archive.read(f"deloc8/repair/data/compat/{machine}.so.zlib")
            assert zlib.decompress(data) == compat_library(machine).read_bytes()


def test_wheel_stands_its_own_check(wheel: Path) -> None:
    checked = run_program("check", wheel)
    assert checked.code == 0, checked.out


def test_an_editable_installation_needs_no_compiler(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", None)
    metadata: Any = None
    hook = CompatibilityLibraries(str(top), {}, None, metadata, str(tmp_path), "wheel")
    data: dict[str, dict[str, str]] = {"force_include": {}}
    hook.initialize("editable", data)
    hook.finalize("editable", data, "deloc8.whl")
    assert data == {"force_include": {}}
    assert not list(tmp_path.iterdir())
    with pytest.raises(TypeError):
        hook.initialize("standard", data)


def test_the_compiler_is_required_where_a_wheel_is_built(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(top)
    assert [name for name in backend.get_requires_for_build_wheel() if "zig" in name] == [build.REQUIREMENT]
    assert not [name for name in backend.get_requires_for_build_editable() if "zig" in name]
    assert not [name for name in backend.get_requires_for_build_sdist() if "zig" in name]


def test_sdist_is_the_same_wherever_and_whenever_it_is_built(sdist: Path, tmp_path: Path) -> None:
    unpacked = extract(sdist, tmp_path)
    for path in unpacked.rglob("*"):  # a younger tree, which others may not read
        path.chmod(0o700 if path.is_dir() or os.access(path, os.X_OK) else 0o600)
        os.utime(path)
    (again,) = SdistBuilder(str(unpacked)).build(directory=str(tmp_path / "dist"), versions=["standard"])
    assert Path(again).read_bytes() == sdist.read_bytes()


def test_installed_wheel_runs(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    python = environment / "bin" / "python"
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel)
    # Its one dependency is borrowed from the environment of the tests, so that no index is asked. Where modules go is
    # asked of the interpreter: Debian's names more folders than exist.
    borrowed = run(sys.executable, "-c", "import packaging; print(*packaging.__path__)").strip()
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    (Path(site) / "packaging").symlink_to(borrowed)
    version = wheel.name.split("-")[1]
    assert run(environment / "bin" / "deloc8", "--version") == f"deloc8 {version}\n"
    assert Path(run(python, "-c", "import deloc8; print(deloc8.__file__)").strip()).is_relative_to(environment)


def run(*command: str | Path) -> str:
    """What it printed."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
