"""What is published: the wheel and the source distribution of deloc8 itself."""

from __future__ import annotations

import hashlib
import json
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
from compat import backend, build, sbom
from compat.hatch_build import CompatibilityLibraries
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.utils import get_reproducible_timestamp
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
    expected |= {".github/workflows/release.yml", ".ci/run"}
    assert expected | {"examples/demo.py", "tests/conftest.py", "tools/test_all.py", "benchmarks/bench.py"} <= names


def test_sdist_builds_the_same_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    """As someone builds it from the sdist alone: another folder, umask, locale and time zone, and no index."""
    pytest.importorskip("pip", reason="needs pip (PyPI)")
    pytest.importorskip("ziglang", reason="needs the compiler of ziglang (PyPI: ziglang)")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    variables = {**os.environ, "TZ": "Pacific/Chatham", "LC_ALL": "C", "PYTHONHASHSEED": "7", "TMPDIR": str(tmp_path)}
    variables.pop("SOURCE_DATE_EPOCH", None)
    command: list[str | Path] = [*pip, "--check-build-dependencies", "--wheel-dir", tmp_path / "wheelhouse", sdist]
    ended = subprocess.run(
        command, cwd=tmp_path, env=variables, umask=0o077, capture_output=True, text=True, check=False, timeout=600
    )
    assert ended.returncode == 0, ended.stderr
    (rebuilt,) = (tmp_path / "wheelhouse").iterdir()
    assert rebuilt.name == wheel.name
    assert rebuilt.read_bytes() == wheel.read_bytes()


def test_wheel_has_one_bill_of_materials_which_lists_the_machine_code(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if ".dist-info/sboms/" in name)
        document = json.loads(archive.read(name))
        carried = {name for name in archive.namelist() if name.endswith(".so.zlib")}
        by_member = {row["bom-ref"]: row for row in document["components"]}
        assert set(by_member) == carried
        for member, row in by_member.items():
            (hashed,) = row["hashes"]
            assert hashed["content"] == hashlib.sha256(zlib.decompress(archive.read(member))).hexdigest()
            properties = {pair["name"]: pair["value"] for pair in row["properties"]}
            target = build.TARGETS[properties["deloc8:machine"]]
            assert properties["deloc8:target"] == f"{target.triple}.{target.glibc}"
            assert properties["deloc8:member"] == member
            assert row["licenses"] == [{"license": {"id": "MIT-0"}}]
    assert document["metadata"]["component"]["purl"] == f"pkg:pypi/deloc8@{wheel.name.split('-')[1]}"
    (built,) = document["formulation"]
    assert f"pkg:pypi/{build.REQUIREMENT.replace('==', '@')}" in {tool["purl"] for tool in built["components"]}


def bill(folder: Path, library: bytes) -> bytes:
    """The bill of a wheel with a library for one machine."""
    path = folder / f"x86_64.so{build.SUFFIX}"
    path.write_bytes(zlib.compress(library))
    return sbom.render(sbom.Project("deloc8", "9.8", "MIT AND MIT-0"), build, [path])


def test_equal_libraries_give_equal_bills_and_others_another_serial_number(tmp_path: Path) -> None:
    one, two = bill(tmp_path, b"one"), bill(tmp_path, b"two")
    assert bill(tmp_path, b"one") == one
    serials = {json.loads(text)["serialNumber"] for text in (one, two)}
    assert len(serials) == 2
    assert all(re.fullmatch(r"urn:uuid:[0-9a-f-]{36}", serial) for serial in serials)


def test_the_bill_of_materials_is_what_the_schema_of_cyclonedx_says(tmp_path: Path) -> None:
    validation = pytest.importorskip("cyclonedx.validation.json", reason="needs cyclonedx-python-lib (PyPI)")
    schema = pytest.importorskip("cyclonedx.schema")
    pytest.importorskip("rfc3987_syntax", reason="needs the extra json-validation of cyclonedx-python-lib")
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    text = bill(tmp_path, b"library").decode()
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"library"', '"libraries"')) is not None


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


def test_a_release_has_the_moment_that_a_build_without_a_date_has(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    text = (top / "tools" / "dist.py").read_text("utf-8")
    assert f'MOMENT = "{get_reproducible_timestamp()}"\n' in text


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
