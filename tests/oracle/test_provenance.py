"""Where grafts come from, compared with dpkg, rpm, rpmbuild, Berkeley DB's own tools and CycloneDX's own validator."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion

from deloc8.loader.sysroot import Sysroot
from deloc8.repair.model import Goal, PackageSource
from deloc8.repair.provenance.owners import Library, find_owners
from deloc8.wheel.writer import WriteOptions
from deloc8.workflow.audit import AuditOptions
from deloc8.workflow.repair import plan_repair, repair_wheel
from kit.bench import Bench, contents
from kit.elf import ElfSpec
from kit.require import require

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deloc8.repair.model import Outcome, Plan

WHEEL = "psycopg2-2.9.13-cp311-cp311-linux_x86_64.whl"


def run(*command: str | Path, **options: Any) -> str:
    """What a program printed."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **options)
    assert ended.returncode == 0, ended.stderr
    return str(ended.stdout)


@pytest.fixture(scope="module")
def wheel(wheels_folder: Path) -> Path:
    return wheels_folder / WHEEL


@pytest.fixture(scope="module")
def plan(wheel: Path) -> Plan:
    plan = plan_repair(wheel, Goal())
    if not plan.grafts:
        pytest.skip("needs libpq5 on this machine, so that a real wheel has grafts")
    return plan


@pytest.fixture(scope="module")
def outcome(wheel: Path, plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    assert plan.grafts
    return repair_wheel(wheel, tmp_path_factory.mktemp("out"), Goal(), WriteOptions(threads=2))


def test_dpkg_names_the_same_owners(plan: Plan) -> None:
    require("dpkg", "dpkg")
    architecture = run("dpkg", "--print-architecture").strip()
    for graft in plan.grafts:
        # dpkg knows the paths as its packages wrote them, before /lib became a symlink.
        spelled = [graft.source, graft.source.removeprefix("/usr")]
        found = subprocess.run(["dpkg", "-S", *spelled], capture_output=True, text=True, check=False).stdout
        (owner,) = {line.rpartition(": ")[0] for line in found.splitlines()}
        name = owner.partition(":")[0]
        version = run("dpkg-query", "-W", "-f=${Version}", owner)
        assert (graft.owner.name, graft.owner.version) == (name, version)
        assert graft.owner.source is PackageSource.DPKG
        assert f"arch={architecture}" in graft.owner.purl


def test_files_all_over_the_system_have_the_owners_that_dpkg_names() -> None:
    require("dpkg", "dpkg")
    libraries = sorted({str(path.resolve()) for path in Path("/usr/lib").glob("*-linux-gnu*/lib*.so.*")})[:200]
    if not libraries:
        pytest.skip("needs a system with Debian's folders of libraries")
    listed = subprocess.run(
        ["dpkg", "-S", *(spelling for path in libraries for spelling in (path, path.removeprefix("/usr")))],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    expected: dict[str, set[str]] = {path: set() for path in libraries}
    for line in listed.splitlines():
        owners, _, path = line.rpartition(": ")
        if not line.startswith("diversion"):
            real = path if path in expected else f"/usr{path}"
            expected[real] |= {owner.partition(":")[0] for owner in owners.split(", ")}
    found = find_owners([Library(path=path) for path in libraries], Sysroot())
    assert len(expected) > 10
    assert {path: {owner.name} - {""} for path, owner in found.items()} == expected


def test_licences_are_those_of_the_packages(plan: Plan, outcome: Outcome) -> None:
    """Those of one source package in one folder; dpkg-query names it."""
    packages = {graft.owner.name for graft in plan.grafts}
    members = contents(outcome.path)
    folder = "psycopg2-2.9.13.dist-info/licenses"
    for name in packages:
        document = Path("/usr/share/doc", name, "copyright")
        if document.exists():
            query = ["dpkg-query", "-W", "-f", "${source:Package}\n", name]
            source = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]
            copies = [data for member, data in members.items() if member.startswith(f"{folder}/{source}")]
            assert copies.count(document.read_bytes()) == 1


def test_no_licence_comes_twice(outcome: Outcome) -> None:
    """As check-wheel-contents asks (W002): no two files with equal contents."""
    found = [data for member, data in contents(outcome.path).items() if "/licenses/" in member]
    assert len(found) > 3
    assert len(set(found)) == len(found)


def test_license_file_lines_name_members_as_packaging_reads_them(wheel: Path, outcome: Outcome) -> None:
    metadata = pytest.importorskip("packaging.metadata")
    members = contents(outcome.path)
    folder = "psycopg2-2.9.13.dist-info"
    read = metadata.Metadata.from_email(members[f"{folder}/METADATA"], validate=False)
    assert set(read.license_files) == {
        name.removeprefix(f"{folder}/licenses/") for name in members if name.startswith(f"{folder}/licenses/")
    }
    old = metadata.parse_email(contents(wheel)[f"{folder}/METADATA"])[0]
    new = metadata.parse_email(members[f"{folder}/METADATA"])[0]
    assert old.pop("license_files") != new.pop("license_files")
    assert old == new


def test_cyclonedx_validates_the_bill_of_materials(outcome: Outcome) -> None:
    json_validator = pytest.importorskip(
        "cyclonedx.validation.json", reason="needs cyclonedx-python-lib[json-validation] (PyPI)"
    )
    pytest.importorskip("jsonschema", reason="needs cyclonedx-python-lib[json-validation] (PyPI)")
    name = outcome.plan.provenance.sbom
    assert name is not None
    text = contents(outcome.path)[name].decode()
    assert json_validator.JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    read: Any = Bom.from_json(json.loads(text))  # type: ignore[attr-defined]
    purls = {str(component.purl) for component in read.components}
    assert purls == {graft.owner.purl for graft in outcome.plan.grafts}
    assert read.metadata.component.purl.to_string() == "pkg:pypi/psycopg2@2.9.13"


def test_pip_installs_what_came_out(outcome: Outcome, tmp_path: Path) -> None:
    pytest.importorskip("pip", reason="needs pip (PyPI)")
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--no-index",
        "--target",
        tmp_path,
        outcome.path,
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if "is not a supported wheel" in ended.stderr:
        pytest.skip(f"needs a Python that {outcome.path.name} is for")
    assert ended.returncode == 0, ended.stderr
    with zipfile.ZipFile(outcome.path) as archive:
        for name in archive.namelist():
            assert (tmp_path / name).exists()


def test_reading_the_database_is_a_small_part_of_a_repair(wheel: Path, plan: Plan, tmp_path: Path) -> None:
    libraries = [Library(path=graft.source) for graft in plan.grafts]
    times = []
    for _ in range(5):
        start = time.perf_counter()
        find_owners(libraries, Sysroot())
        times.append(time.perf_counter() - start)
    start = time.perf_counter()
    repair_wheel(wheel, tmp_path, Goal(sbom=False, licences=False), WriteOptions(), AuditOptions())
    whole = time.perf_counter() - start
    assert min(times) < whole / 10


SPEC = """\
Name: libtiny
Epoch: 2
Version: 1.5
Release: 3.test
Summary: A library for a test
License: MIT
%description
It is small.
%package devel
Summary: More of it
%description devel
It is small too.
%install
mkdir -p %{buildroot}/usr/lib64 %{buildroot}/usr/share/licenses/libtiny %{buildroot}/opt/tiny
cp %{library} %{buildroot}/usr/lib64/libtiny.so.1
cp %{library} %{buildroot}/opt/tiny/libtiny.so.1
echo text > %{buildroot}/usr/share/licenses/libtiny/MIT
%files
/usr/lib64/libtiny.so.1
%license /usr/share/licenses/libtiny/MIT
%files devel
/opt/tiny/libtiny.so.1
"""


class RpmRoot:
    """A system whose two packages were built and installed by rpm itself."""

    def __init__(self, top: Path) -> None:
        self.top = top
        rpmbuild, self.rpm = require("rpmbuild", "rpm"), require("rpm", "rpm")
        self.bench = Bench(top)
        library = self.bench.library("/built/libtiny.so.1")
        (top / "libtiny.spec").write_text(SPEC)
        build = ["-bb", "--target", "x86_64-linux", "--define", f"_topdir {top}/build"]
        build += ["--define", f"library {self.root}{library}", "--define", "_build_id_links none"]
        build += ["--define", "__os_install_post %{nil}", "--define", "_arch_dependent_binaries_in_noarch 0"]
        self._run([rpmbuild, *build, str(top / "libtiny.spec")])
        packages = sorted(str(path) for path in (top / "build" / "RPMS").rglob("*.rpm"))
        assert len(packages) == 2
        self.call("--initdb")
        try:
            self.call("--install", "--nodeps", "--ignorearch", "--noscripts", *packages)
        except AssertionError as error:
            if os.getuid():
                pytest.skip(f"rpm installs packages for root only: {error}")
            raise

    @property
    def root(self) -> Path:
        return self.bench.system.top

    @property
    def folder(self) -> Path:
        """Of the database."""
        return self.root / "usr/lib/sysimage/rpm"

    def call(self, *arguments: str) -> str:
        return self._run([self.rpm, "--root", str(self.root), "--dbpath", "/usr/lib/sysimage/rpm", *arguments])

    def _run(self, command: Sequence[str]) -> str:
        return run(*command, env={**os.environ, "HOME": str(self.top)}, cwd=self.top)

    def owner(self, path: str) -> str:
        """What rpm itself says."""
        asked = "%{NAME} %{EPOCH} %{VERSION}-%{RELEASE} %{ARCH}"
        return self.call("--query", "--queryformat", asked, "--file", path).strip()


TINY = ("/usr/lib64/libtiny.so.1", "/opt/tiny/libtiny.so.1")


def told(root: RpmRoot) -> Mapping[str, str]:
    """What we say of the two libraries, in the words that rpm is asked for."""
    owners = find_owners([Library(path=path) for path in TINY], Sysroot(root.root))
    said = {}
    for path, owner in owners.items():
        assert owner.source is PackageSource.RPM, owner.reason
        qualifiers = dict(pair.split("=") for pair in owner.purl.partition("?")[2].split("&"))
        said[path] = f"{owner.name} {qualifiers['epoch']} {owner.version} {qualifiers['arch']}"
    return said


@pytest.fixture(scope="module")
def rpm_root(tmp_path_factory: pytest.TempPathFactory) -> RpmRoot:
    return RpmRoot(tmp_path_factory.mktemp("rpm"))


def test_rpm_names_the_same_owners(rpm_root: RpmRoot) -> None:
    if not (rpm_root.folder / "rpmdb.sqlite").exists():
        pytest.skip("needs an rpm that writes SQLite (rpm 4.16 or newer)")
    assert told(rpm_root) == {path: rpm_root.owner(path) for path in TINY}
    assert told(rpm_root)[TINY[1]].startswith("libtiny-devel 2 1.5-3.test")


def test_a_wheel_with_a_library_of_rpm_carries_its_licence(rpm_root: RpmRoot) -> None:
    source = rpm_root.bench.wheel({"demo/_core.so": ElfSpec(needed=("libtiny.so.1",))})
    outcome = rpm_root.bench.repair(source, sbom=True, licences=True)
    licence = rpm_root.call("--query", "--licensefiles", "libtiny").strip()
    assert [file.source for file in outcome.plan.provenance.licences] == [licence]
    assert contents(outcome.path)["demo-1.0.dist-info/licenses/libtiny/MIT"] == b"text\n"


def test_berkeley_db_holds_the_same_owners(rpm_root: RpmRoot, tmp_path: Path) -> None:
    """The headers that rpm wrote, put into a hash table by Berkeley DB's own loader, as rpm before 4.16 did."""
    load = require("db5.3_load", "db5.3-util")
    if not (rpm_root.folder / "rpmdb.sqlite").exists():
        pytest.skip("needs an rpm that writes SQLite (rpm 4.16 or newer)")
    connection = sqlite3.connect(rpm_root.folder / "rpmdb.sqlite")
    rows = connection.execute("SELECT hnum, blob FROM Packages").fetchall()
    connection.close()
    lines = [" 00000000", " 02000000"]
    for number, blob in rows:
        lines += [f" {number.to_bytes(4, 'little').hex()}", f" {blob.hex()}"]
    dump = "VERSION=3\nformat=bytevalue\ntype=hash\ndb_pagesize=4096\nHEADER=END\n"
    place = tmp_path / "var/lib/rpm/Packages"
    place.parent.mkdir(parents=True)
    run(load, place, input=dump + "\n".join(lines) + "\nDATA=END\n")
    owners = find_owners([Library(path=path) for path in TINY], Sysroot(tmp_path))
    expected = find_owners([Library(path=path) for path in TINY], Sysroot(rpm_root.root))
    assert {path: owner.purl for path, owner in owners.items()} == {
        path: owner.purl for path, owner in expected.items()
    }
    assert all(owner.is_known for owner in owners.values())
