"""Search paths that somebody needs: wheels that pip installs into an environment, imported as they are and repaired."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

import pytest

from kit.bench import codes
from kit.require import require
from kit.shop import MACHINE, SUFFIX, Shop, dynamic, python_header, run

if TYPE_CHECKING:
    from pathlib import Path

if find_spec("pip") is None or find_spec("venv") is None:
    pytest.skip("needs pip and venv, to install what is looked at", allow_module_level=True)

MODULE = r"""
#include <Python.h>
int a(void);
static PyObject *answer(PyObject *self, PyObject *none) { return PyLong_FromLong(a()); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, 0}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_core", 0, -1, methods};
PyMODINIT_FUNC PyInit__core(void) { return PyModule_Create(&module); }
"""
PROGRAM = '#include <stdio.h>\nint a(void);\nint main(void) { printf("%d\\n", a()); return 0; }\n'
LIB = "int a(void) { return 42; }\n"
OTHER = "int b(void) { return 40; }\n"
CORE = f"_core{SUFFIX}"
DATA = "demo-1.0.data"
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


class Installed:
    """An environment into which wheels were installed."""

    def __init__(self, shop: Shop, *wheels: Path) -> None:
        shop.count += 1
        self.folder = shop.top / f"environment{shop.count}"
        assert run([sys.executable, "-m", "venv", "--without-pip", self.folder]).returncode == 0
        self.python = self.folder / "bin" / "python"
        pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", self.python]
        done = run([*pip, "install", "--no-index", "--no-deps", "--no-compile", *wheels])
        assert done.returncode == 0, done.stderr

    def answer(self, package: str = "") -> str:
        """What the module says, or the last words of the error."""
        code = f"import sys; sys.path.remove(''); from {package}_core import answer; print(answer())"
        done = run([self.python, "-c", code], cwd=self.folder)
        return done.stdout.strip() or done.stderr.strip().rpartition("\n")[2]


def module(shop: Shop, entry: str, *libraries: Path, tags: str = "enable", source: str = MODULE) -> bytes:
    """A module with one text as its search path, DT_RUNPATH or DT_RPATH."""
    flags = [f"-Wl,--{tags}-new-dtags", f"-Wl,-rpath,{entry}", "-Wl,--no-as-needed"]
    shop.count += 1
    name = f"objects/{shop.count}.so"
    return shop.compile(name, source, python_header(), *flags, *libraries, "-Wl,--allow-shlib-undefined").read_bytes()


class Place(NamedTuple):
    """Where a module is, where its library is among the data of the wheel, and the entry that leads there."""

    package: str
    library: str
    entry: str

    @property
    def member(self) -> str:
        return f"{self.package.replace('.', '/')}{CORE}"


@pytest.mark.parametrize("tags", ["enable", "disable"], ids=["runpath", "rpath"])
@pytest.mark.parametrize(
    "place",
    [
        Place("", "lib", "$ORIGIN/../.."),
        Place("", "lib", "${ORIGIN}/..//.././"),
        Place("", "lib64", "$ORIGIN/../.."),
        Place("", "lib", "$ORIGIN/../../../lib64"),
        Place("demo.", "lib", "$ORIGIN/../../.."),
        Place("demo.sub.", "lib", "$ORIGIN/../../../.."),
        Place("demo.sub.", "lib/demo", "$ORIGIN/../../../../demo"),
        Place("demo.", "share/demo/lib", "/$ORIGIN/../../../../share/demo/lib"),
    ],
)
def test_a_library_among_the_data_is_found(shop: Shop, place: Place, tags: str) -> None:
    library = shop.library("libdemo_a.so.1", LIB)
    members = {
        place.member: module(shop, place.entry, library, tags=tags),
        f"{DATA}/data/{place.library}/libdemo_a.so.1": library.read_bytes(),
    }
    wheel = shop.wheel(members)
    shop.hide_libraries()
    assert Installed(shop, wheel).answer(place.package) == "42"
    outcome = shop.repair(wheel)
    assert Installed(shop, outcome.path).answer(place.package) == "42"
    assert outcome.plan.patches == ()
    assert "rpath-crosses-schemes" in codes(outcome.plan)


@pytest.mark.parametrize("package", ["", "demo.sub."])
def test_a_library_among_the_data_to_which_no_entry_leads_gets_one(shop: Shop, package: str) -> None:
    library = shop.library("libdemo_a.so.1", LIB)
    member = Place(package, "", "").member
    wheel = shop.wheel(
        {member: module(shop, "/nowhere", library), f"{DATA}/data/lib/libdemo_a.so.1": library.read_bytes()}
    )
    shop.hide_libraries()
    assert "libdemo_a.so.1" in Installed(shop, wheel).answer(package)
    outcome = shop.repair(wheel, only_paths=())
    assert Installed(shop, outcome.path).answer(package) == "42"


def test_what_pip_does_with_a_target_is_what_the_note_says(shop: Shop) -> None:
    library = shop.library("libdemo_a.so.1", LIB)
    wheel = shop.wheel(
        {CORE: module(shop, "$ORIGIN/../..", library), f"{DATA}/data/lib/libdemo_a.so.1": library.read_bytes()}
    )
    shop.hide_libraries()
    outcome = shop.repair(wheel)
    pip: list[str | Path] = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--no-compile"]
    for path in (wheel, outcome.path):
        folder = shop.top / f"target-{path.stat().st_size}-{path.parent.name}"
        assert run([*pip, "--target", folder, path]).returncode == 0
        assert not (folder / "lib").exists()
        done = run([sys.executable, "-c", "import _core"], cwd=folder)
        assert "libdemo_a.so.1" in done.stderr
    (note,) = (note for note in outcome.plan.notes if note.code == "rpath-crosses-schemes")
    assert any("--target" in line for line in note.context)


@pytest.mark.parametrize("tags", ["enable", "disable"], ids=["runpath", "rpath"])
@pytest.mark.parametrize("with_graft", [False, True], ids=["alone", "with-graft"])
@pytest.mark.parametrize(("package", "entry"), [("", "$ORIGIN/../.."), ("demo.sub.", "$ORIGIN/../../../..")])
def test_a_library_among_the_data_of_another_wheel_is_found(
    shop: Shop, package: str, entry: str, tags: str, *, with_graft: bool
) -> None:
    """A runtime that another distribution puts into `<environment>/lib`, as those of oneAPI do."""
    library = shop.library("libdemo_a.so.1", LIB)
    other = shop.library("libdemo_b.so.1", OTHER)
    used = [library, other] if with_graft else [library]
    core = module(shop, f"{entry}:{shop.libraries}", *used, tags=tags)
    wheel = shop.wheel({Place(package, "", "").member: core})
    runtime = shop.wheel({"runtime-1.0.data/data/lib/libdemo_a.so.1": library.read_bytes()}, name="runtime")
    outcome = shop.repair(wheel, exclude=("libdemo_a.so.1",))
    shop.hide_libraries()
    assert len(outcome.plan.grafts) == with_graft
    assert Installed(shop, outcome.path, runtime).answer(package) == "42"
    assert {"rpath-dropped", "rpath-kept"} <= codes(outcome.plan).keys()


@pytest.mark.parametrize("tags", ["enable", "disable"], ids=["runpath", "rpath"])
@pytest.mark.parametrize("entry", ["$ORIGIN/bin/../lib", "$ORIGIN/x/y/../../lib", "$ORIGIN/../demo/bin/../../demo/lib"])
def test_folders_that_are_not_there_are_not_gone_through(shop: Shop, entry: str, tags: str) -> None:
    library = shop.library("libdemo_a.so.1", LIB)
    members = {f"demo/{CORE}": module(shop, entry, library, tags=tags), "demo/lib/libdemo_a.so.1": library.read_bytes()}
    wheel = shop.wheel(members)
    shop.hide_libraries()
    assert "libdemo_a.so.1" in Installed(shop, wheel).answer("demo.")
    outcome = shop.repair(wheel)
    assert Installed(shop, outcome.path).answer("demo.") == "42"
    with_folder = shop.wheel({**members, "demo/bin/tool": b"", "demo/x/y/tool": b""})
    assert Installed(shop, with_folder).answer("demo.") == "42"
    assert shop.repair(with_folder).plan.is_empty


@pytest.mark.parametrize("entry", ["$ORIGIN/$LIB", "${ORIGIN}/${LIB}/", "$ORIGIN/../demo/./$LIB", "$ORIGIN/$PLATFORM"])
def test_tokens_that_differ_between_systems_get_an_entry_that_does_not(shop: Shop, entry: str) -> None:
    library = shop.library("libdemo_a.so.1", LIB)
    core = module(shop, entry, library)
    contents = library.read_bytes()
    names = {"lib/x86_64-linux-gnu", "lib64", "lib"} if "LIB" in entry else {"x86_64", "haswell", "xeon_phi"}
    shop.hide_libraries()
    imported = 0
    for name in sorted(names):
        wheel = shop.wheel({f"demo/{CORE}": core, f"demo/{name}/libdemo_a.so.1": contents})
        imported += Installed(shop, wheel).answer("demo.") == "42"
        outcome = shop.repair(wheel)
        installed = Installed(shop, outcome.path)
        assert installed.answer("demo.") == "42"
        (found,) = installed.folder.glob(f"lib/*/site-packages/demo/{CORE}")
        (text,) = (text for texts in (dynamic(found).get(kind, []) for kind in ("RPATH", "RUNPATH")) for text in texts)
        assert f"$ORIGIN/{name}" in text.split(":")
    assert imported == 1


def test_a_program_that_moves_still_finds_the_data(shop: Shop) -> None:
    library = shop.library("libdemo_a.so.1", "int b(void); int a(void) { return b() + 2; }\n")
    other = shop.library("libdemo_b.so.1", OTHER)
    flags = ["-Wl,--no-as-needed", f"-Wl,-rpath,$ORIGIN/../lib:{shop.libraries}"]
    program = shop.compile("objects/program", PROGRAM, library, other, *flags, kind="-pie").read_bytes()
    script = f"{DATA}/scripts/demo-program"
    wheel = shop.wheel(
        {script: program, f"{DATA}/data/lib/libdemo_a.so.1": library.read_bytes(), f"demo/{CORE}": module(shop, "/x")},
        modes={script: 0o755},
    )
    library.unlink()
    outcome = shop.repair(wheel)
    shop.hide_libraries()
    assert [patch.moved_to for patch in outcome.plan.patches if patch.moved_to] == ["demo.scripts/demo-program"]
    done = run([Installed(shop, outcome.path).folder / "bin" / "demo-program"])
    assert (done.stdout, done.stderr) == ("42\n", "")


def test_the_way_from_data_to_platlib_has_the_name_of_one_python(shop: Shop) -> None:
    inner = shop.library("libdemo_b.so.1", OTHER)
    flags = [f"-Wl,-rpath,$ORIGIN/{PYTHON}/site-packages/demo/lib", "-Wl,--no-as-needed"]
    source = "int b(void); int a(void) { return b() + 2; }\n"
    library = shop.compile("objects/libdemo_a.so.1", source, "-Wl,-soname,libdemo_a.so.1", inner, *flags)
    members = {
        f"demo/{CORE}": module(shop, "$ORIGIN/../../..", library),
        f"{DATA}/data/lib/libdemo_a.so.1": library.read_bytes(),
        "demo/lib/libdemo_b.so.1": inner.read_bytes(),
    }
    wheel = shop.wheel(members)
    shop.hide_libraries()
    assert Installed(shop, wheel).answer("demo.") == "42"
    outcome = shop.repair(wheel)
    assert outcome.plan.patches == ()
    assert Installed(shop, outcome.path).answer("demo.") == "42"


class Vendor:
    """A machine that has a vendor's folder below `/opt`, and commands that run on it."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.folder = shop.top / "vendor"
        (self.folder / "lib").mkdir(parents=True)
        self.command: list[str | Path] = [
            require("bwrap", "Debian: bubblewrap"),
            "--dev-bind",
            "/",
            "/",
            "--tmpfs",
            "/opt",
        ]
        self.command += ["--bind", self.folder, "/opt/vendor"]
        if run([*self.command, "true"]).returncode:
            pytest.skip("needs the right to make namespaces (bubblewrap), to lay a folder over /opt")

    def fixup(self, wheel: Path, *options: str) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "deloc8",
            "fixup",
            "-w",
            wheel.parent / "repaired",
            *options,
            wheel,
        ]
        environ = {key: value for key, value in os.environ.items() if not key.startswith("LD_")}
        return subprocess.run(
            [*self.command, *command], capture_output=True, text=True, check=False, env={**environ, "LC_ALL": "C.UTF-8"}
        )

    def answer(self, installed: Installed) -> str:
        code = "from demo._core import answer; print(answer())"
        done = run([*self.command, installed.python, "-c", code], cwd=installed.folder)
        return done.stdout.strip() or done.stderr.strip().rpartition("\n")[2]


@pytest.mark.parametrize("tags", ["enable", "disable"], ids=["runpath", "rpath"])
@pytest.mark.parametrize("with_graft", [False, True], ids=["alone", "with-graft"])
def test_the_folder_of_a_vendor_stays_for_what_is_left_out(shop: Shop, tags: str, *, with_graft: bool) -> None:
    vendor = Vendor(shop)
    library = shop.library("libdemo_a.so.1", LIB)
    other = shop.library("libdemo_b.so.1", OTHER)
    used = [library, other] if with_graft else [library]
    core = module(shop, f"/opt/vendor/lib:{shop.libraries}:/home/me/lib", *used, tags=tags)
    wheel = shop.wheel({f"demo/{CORE}": core})
    library.rename(vendor.folder / "lib" / library.name)
    done = vendor.fixup(wheel, "--exclude", "libdemo_a.so.1")
    assert done.returncode == 0, done.stderr
    assert "/opt/vendor/lib: libdemo_a.so.1 (left out by --exclude) was found there" in done.stderr
    assert "/home/me/lib: " in done.stderr
    shop.hide_libraries()
    (repaired,) = (wheel.parent / "repaired").iterdir()
    installed = Installed(shop, repaired)
    assert vendor.answer(installed) == "42"
    assert "libdemo_a.so.1" in installed.answer("demo.")
    (found,) = installed.folder.glob(f"lib/*/site-packages/demo/{CORE}")
    entries = dynamic(found)
    graft_folder = ["$ORIGIN/../demo.libs"] if with_graft else []
    kind = "RPATH" if tags == "disable" or with_graft else "RUNPATH"
    assert entries[kind] == [":".join(["/opt/vendor/lib", *graft_folder])]


def test_a_graft_finds_what_is_left_out_where_it_found_it_before(shop: Shop) -> None:
    """By `$ORIGIN` it found its neighbours at the vendor's: that place is written out, for the graft is elsewhere."""
    vendor = Vendor(shop)
    inner = shop.library("libdemo_b.so.1", OTHER)
    source = "int b(void); int a(void) { return b() + 2; }\n"
    library = shop.compile(
        "vendor/lib/libdemo_a.so.1", source, "-Wl,-soname,libdemo_a.so.1", inner, "-Wl,-rpath,$ORIGIN"
    )
    wheel = shop.wheel({f"demo/{CORE}": module(shop, "/opt/vendor/lib", library)})
    inner.rename(vendor.folder / "lib" / inner.name)
    done = vendor.fixup(wheel, "--exclude", "libdemo_b.so.1")
    assert done.returncode == 0, done.stderr
    library.unlink()
    (repaired,) = (wheel.parent / "repaired").iterdir()
    assert vendor.answer(Installed(shop, repaired)) == "42"


def test_a_module_that_needs_the_library_of_the_kernel_is_imported(shop: Shop) -> None:
    if MACHINE != "x86_64":
        pytest.skip("needs an x86_64 machine, whose kernel's library is linux-vdso.so.1")
    vdso = shop.compile("objects/linux-vdso.so.1", "int x;", "-Wl,-soname,linux-vdso.so.1")
    source = MODULE.replace("int a(void);", "int a(void) { return 42; }")
    wheel = shop.wheel({f"demo/{CORE}": module(shop, "$ORIGIN", vdso, source=source)})
    assert Installed(shop, wheel).answer("demo.") == "42"
    assert Installed(shop, shop.repair(wheel).path).answer("demo.") == "42"
