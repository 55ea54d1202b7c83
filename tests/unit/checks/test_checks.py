from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.workflow.audit import AuditOptions
from deloc8.workflow.check import check_wheel
from kit.elf import (
    DT_AUDIT,
    DT_AUXILIARY,
    DT_FILTER,
    GLIBC,
    MACHINES,
    Defined,
    ElfSpec,
    NeedSpec,
    NoteSpec,
    Undefined,
    build_elf,
    build_with_places,
)
from kit.faults import INFO, SOUND, TAG, beside, core, files, scene_for_checks
from kit.scene import CORE
from kit.wheels import build_wheel, wheel_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deloc8.diagnostic import Diagnostic
    from kit.faults import Fault
    from kit.scene import Scene

ABI3 = "cp39-abi3-manylinux_2_17_x86_64"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return scene_for_checks(tmp_path)


def check(scene: Scene, fault: Fault, **options: object) -> tuple[Diagnostic, ...]:
    settings = AuditOptions(sysroot=scene.root, **options)  # type: ignore[arg-type]  # the caller names fields
    return check_wheel(fault(scene), settings)


def codes(scene: Scene, fault: Fault, **options: object) -> list[str]:
    return [found.code for found in check(scene, fault, **options)]


def modules(tag: str, *names: str) -> Fault:
    return lambda scene: scene.wheel(dict.fromkeys((f"demo/{name}" for name in names), SOUND), tags=(tag,))


# -- everything at once


def test_record_is_checked_although_a_file_is_unsound(scene: Scene) -> None:
    fault = files({"demo/broken.abi3.so": b"\x7fELF" + bytes(60)}, record="wrong-hash")
    assert codes(scene, fault) == ["wrong-hash", "bad-elf"]


def test_several_faults_of_one_wheel_are_all_told(scene: Scene) -> None:
    spec = replace(SOUND, gnu_stack=7, rpath="/home/me", textrel=True)
    assert sorted(codes(scene, core(spec))) == ["absolute-rpath", "executable-stack", "text-relocations"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("$ORIGIN/../demo.libs:${ORIGIN}/lib:/$ORIGIN/lib", set()),
        ("$ORIGIN/..:/opt/$LIB", {"absolute-rpath"}),
        ("/opt/x/$ORIGIN", {"absolute-rpath"}),
        ("$LIB/x", {"relative-rpath"}),
        ("$ORIGINAL/lib", {"relative-rpath"}),
        ("x$ORIGIN", {"relative-rpath"}),
        ("$ORIGIN/lib/../../demo.libs", {"rpath-missing-folder"}),
        ("$ORIGIN/../other/../demo.libs", {"rpath-missing-folder"}),
        ("$ORIGIN/lib/../../demo.libs:$ORIGIN/../demo.libs", set()),  # the loader gets there
        ("$ORIGIN/lib/../../none", set()),  # there is nothing to be found
        ("$ORIGIN/../../../../..", set()),
    ],
)
def test_search_paths(scene: Scene, text: str, found: set[str]) -> None:
    used = replace(SOUND, needed=("libfoo.so.1", GLIBC), undefined=(*SOUND.undefined, Undefined("foo")), rpath=text)
    fault = core(used, libfoo_so_1=ElfSpec(soname="libfoo.so.1", defined=(Defined("foo"),)))
    assert {code for code in codes(scene, fault) if "rpath" in code} == found


def test_the_folder_of_what_is_left_out_may_be_named(scene: Scene) -> None:
    scene.system.library("/opt/rocm/lib/libvendor.so.1", ElfSpec(soname="libvendor.so.1"))
    scene.system.library("/home/me/lib/libmine.so.1", ElfSpec(soname="libmine.so.1"))
    needed = ("libvendor.so.1", "libmine.so.1", GLIBC)
    fault = core(replace(SOUND, needed=needed, runpath="/opt/rocm/lib:/home/me/lib"))
    for exclude, folders in ((("libvendor*", "libmine*"), "/home/me/lib"), ((), "/opt/rocm/lib, /home/me/lib")):
        (found,) = (found for found in check(scene, fault, exclude=exclude) if found.code == "absolute-rpath")
        assert found.message.endswith(f": {folders}")


def test_a_pure_wheel_has_nothing_to_find(scene: Scene) -> None:
    pure: Fault = lambda scene: scene.wheel({"demo/__init__.py": b""}, tags=("py3-none-any",))  # noqa: E731  a value
    assert codes(scene, pure) == []


# -- tags and names


@pytest.mark.parametrize(
    ("tags", "lines"),
    [
        ((), (f"only in the file name: {TAG}",)),
        ((TAG, "cp312-cp312-any"), ("only in WHEEL: cp312-cp312-any",)),
    ],
)
def test_tags_that_only_one_place_has(scene: Scene, tags: tuple[str, ...], lines: tuple[str, ...]) -> None:
    fault = files({f"{INFO}/WHEEL": wheel_text(tags).replace(b": true", b": false")})
    (found,) = check(scene, fault)
    assert (found.code, found.context) == ("tags-differ", lines)


def version(text: str) -> Fault:
    return files({f"{INFO}/METADATA": f"Metadata-Version: 2.1\nName: Demo\nVersion: {text}\n".encode()})


@pytest.mark.parametrize("text", ["1.0.0", "v1", "01.0"])
def test_versions_that_are_equal_however_they_are_written(scene: Scene, text: str) -> None:
    assert codes(scene, version(text)) == []


@pytest.mark.parametrize("text", ["1.0.post1", "no version", "9" * 5000])
def test_versions_that_are_not(scene: Scene, text: str) -> None:
    assert codes(scene, version(text)) == ["metadata-mismatch"]


def test_compiled_files_in_platlib_need_no_platlib_root(scene: Scene) -> None:
    def fault(scene: Scene) -> Path:
        members = {"demo-1.0.data/platlib/demo/_core.so": build_elf(SOUND)}
        wheel = wheel_text([TAG]).replace(b": false", b": true")
        return build_wheel(scene.folder, {**members, f"{INFO}/WHEEL": wheel}, tags=(TAG,))

    assert codes(scene, fault) == []


PLATFORM = "manylinux_2_17_x86_64"


@pytest.mark.parametrize(
    ("tag", "names", "is_found"),
    [
        ("cp311-cp311", ["_core.cpython-311-x86_64-linux-gnu.so"], True),
        ("cp311-cp311", ["_core.cpython-311.so"], True),
        ("cp311-cp311", ["_core.abi3.so"], True),
        ("cp311-cp311", ["_core.cpython-310-x86_64-linux-gnu.so", "_core.cpython-311-x86_64-linux-gnu.so"], True),
        ("cp311-cp311", ["_core.cpython-311d-x86_64-linux-gnu.so"], False),
        ("cp36.cp37-cp36m.cp37m", ["_a.cpython-36m-x86_64-linux-gnu.so", "_a.cpython-37m-x86_64-linux-gnu.so"], True),
        ("cp36.cp37-cp36m.cp37m", ["_a.cpython-37m-x86_64-linux-gnu.so"], False),
        ("cp313-cp313t", ["_core.cpython-313t-x86_64-linux-gnu.so"], True),
        ("cp313-cp313t", ["_core.cpython-313-x86_64-linux-gnu.so"], False),
        ("cp313-cp313t", ["_core.abi3.so"], False),
        ("cp313-cp313t", ["_core.so"], True),
        ("cp39-abi3", ["_core.abi3.so"], True),
        ("cp39-abi3", ["_core.cpython-39-x86_64-linux-gnu.so"], False),
        ("cp315-abi3.abi3t", ["_core.abi3t.so"], True),
        ("cp315-abi3.abi3t", ["_core.abi3.so"], False),
        ("cp311-none", ["_core.cpython-311-x86_64-linux-gnu.so"], True),
        ("py3-none", ["_core.cpython-311-x86_64-linux-gnu.so"], False),
        ("py3-none", ["_core.cpython-311-x86_64-linux-gnu.so", "_core.cpython-312-x86_64-linux-gnu.so"], True),
        ("py3-none", ["_core.abi3.so"], True),
        ("py3-none", ["libdemo.so.1"], True),
        ("pp310-pypy310_pp73", ["_core.cpython-311-x86_64-linux-gnu.so"], True),
    ],
)
def test_suffixes_against_tags(scene: Scene, tag: str, names: list[str], *, is_found: bool) -> None:
    assert codes(scene, modules(f"{tag}-{PLATFORM}", *names)) == ([] if is_found else ["suffix-python"])


def test_python_on_musl_had_the_suffix_of_glibc(scene: Scene) -> None:
    spec = ElfSpec(needed=("libc.musl-x86_64.so.1",))
    fault = core(spec, "cp311-cp311-musllinux_1_2_x86_64", "demo/_core.cpython-311-x86_64-linux-gnu.so")
    assert codes(scene, fault) == []


# -- promises


def test_a_version_with_a_number_needs_no_symbol_to_be_too_new(scene: Scene) -> None:
    assert codes(scene, core(replace(SOUND, needs=(NeedSpec(GLIBC, "GLIBC_2.34"),)))) == ["symbol-too-new"]


def test_packed_relocations_with_their_marker_are_right_from_glibc_2_36_on(scene: Scene) -> None:
    spec = replace(SOUND, relr=True, needs=(NeedSpec(GLIBC, "GLIBC_ABI_DT_RELR"),))
    assert codes(scene, core(spec, "cp311-cp311-manylinux_2_36_x86_64")) == []
    assert codes(scene, core(replace(SOUND, relr=True), "cp311-cp311-linux_x86_64")) == []


def test_what_the_user_does_is_no_finding_on_the_wheel(scene: Scene) -> None:
    assert codes(scene, core(SOUND), exclude=("libnothing*",)) == []


def test_a_library_that_comes_otherwise(scene: Scene) -> None:
    spec = replace(SOUND, needed=("libfoo.so.1", GLIBC), undefined=(Undefined("foo"),))
    assert codes(scene, core(spec), exclude=("libfoo*",)) == []


def test_a_library_that_is_nowhere_is_not_allowed_either(scene: Scene) -> None:
    (found,) = check(scene, core(replace(SOUND, needed=("libnowhere.so.1", GLIBC))))
    assert found.code == "library-not-allowed"
    assert found.context == ("needs libnowhere.so.1, which is neither in the wheel nor found on this system",)


def test_what_a_graft_would_need_is_no_fault_of_the_wheel(scene: Scene) -> None:
    newer = Undefined("use0", "GLIBC_2.34", GLIBC)
    spec = ElfSpec(soname="libfoo.so.1", needed=(GLIBC,), undefined=(newer,), defined=(Defined("foo"),))
    scene.system.library("/usr/lib/libfoo.so.1", spec)
    mine = replace(SOUND, needed=("libfoo.so.1", GLIBC), undefined=(Undefined("foo"),))
    assert codes(scene, core(mine)) == ["library-not-allowed"]


# -- the stable ABI


def stable(*names: str, weak: bool = False, tag: str = ABI3) -> Fault:
    undefined = tuple(Undefined(name, weak=weak) for name in names)
    return core(replace(SOUND, undefined=(*SOUND.undefined, *undefined)), tag, "demo/_core.abi3.so")


def test_the_stable_abi_itself(scene: Scene) -> None:
    # https://docs.python.org/3/c-api/stable.html: the first since 3.2, the second since 3.7, the third data.
    assert codes(scene, stable("PyList_New", "PySlice_Unpack", "PyBool_Type", "_Py_NoneStruct")) == []


def test_weak_references_may_be_missing(scene: Scene) -> None:
    assert codes(scene, stable("PyFrame_GetLasti", weak=True)) == []


def test_pys_that_the_wheel_defines_are_its_own(scene: Scene) -> None:
    def fault(scene: Scene) -> Path:
        core = replace(SOUND, undefined=(*SOUND.undefined, Undefined("PyMine_New")))
        library = ElfSpec(soname="libmine.so", needed=(GLIBC,), defined=(Defined("PyMine_New"),))
        return scene.wheel({"demo/_core.abi3.so": core, "demo.libs/libmine.so": library}, tags=(ABI3,))

    assert codes(scene, fault) == []


@pytest.mark.parametrize(("tag", "found"), [("cp311-abi3", []), ("cp310-abi3", ["stable-abi-too-new"])])
def test_the_tag_says_how_young_a_symbol_may_be(scene: Scene, tag: str, found: list[str]) -> None:
    # PyType_GetName is part of the stable ABI since 3.11 (https://docs.python.org/3/c-api/type.html).
    assert codes(scene, stable("PyType_GetName", tag=f"{tag}-{PLATFORM}")) == found


def test_other_wheels_may_use_all_of_python(scene: Scene) -> None:
    assert codes(scene, stable("PyFrame_GetLasti", tag=TAG)) == []


# -- single files


def test_musl_and_programs_do_not_mind_the_stack(scene: Scene) -> None:
    musl = ElfSpec(needed=("libc.musl-x86_64.so.1",), gnu_stack=7)
    assert codes(scene, core(musl, "cp311-cp311-musllinux_1_2_x86_64")) == []
    program = replace(SOUND, gnu_stack=7, interpreter="/lib64/ld-linux-x86-64.so.2")
    assert codes(scene, core(program, member="demo/run")) == []


def test_a_stack_is_looked_at_whatever_the_wheel_claims(scene: Scene) -> None:
    spec = replace(SOUND, gnu_stack=7)
    (found,) = check(scene, core(spec, "cp311-cp311-linux_x86_64"))
    assert (found.code, found.severity.value) == ("executable-stack", "warning")
    assert sorted(codes(scene, core(spec, "cp311-cp311-manylinux_2_17_aarch64"))) == ["executable-stack", "false-tag"]


@pytest.mark.parametrize("stack", [7, None])
def test_a_stack_that_is_kept_on_request_is_a_warning(scene: Scene, stack: int | None) -> None:
    (found,) = check(scene, core(replace(SOUND, gnu_stack=stack)), keep_executable_stack=True)
    assert (found.code, found.severity.value) == ("executable-stack" if stack else "missing-stack-header", "warning")


def test_libpython_that_comes_otherwise_is_no_fault(scene: Scene, tmp_path: Path) -> None:
    fault = core(replace(SOUND, needed=("libpython3.11.so.1.0", GLIBC)))
    assert codes(scene, fault) == ["libpython-needed"]
    assert codes(scene, fault, exclude=("libpython*",)) == []
    mine = tmp_path / "mine.json"
    allowed = '["libc.so.6", "libpython3.11.so.1.0"]'
    ceilings = '{"GLIBC": "2.17"}'
    mine.write_text(f'[{{"name": "manylinux_2_17", "symbol_versions": {ceilings}, "lib_whitelist": {allowed}}}]')
    assert codes(scene, fault, policy_files=(mine,)) == []


def test_arm_of_64_bits_has_no_executable_stack_by_default(scene: Scene) -> None:
    spec = replace(MACHINES["aarch64"], needed=(GLIBC,), gnu_stack=None)
    assert codes(scene, core(spec, "cp311-cp311-manylinux_2_17_aarch64")) == []


def test_an_empty_rpath_is_none(scene: Scene) -> None:
    assert codes(scene, core(replace(SOUND, rpath=""))) == []


def test_on_android_modules_need_libpython(scene: Scene) -> None:
    spec = ElfSpec(needed=("libpython3.13.so", "libc.so"), notes=(NoteSpec("Android", 1, bytes(4)),))
    assert codes(scene, core(spec, "cp313-cp313-android_24_x86_64")) == []


def test_a_static_program_has_no_dynamic_section(scene: Scene) -> None:
    assert codes(scene, beside("demo/run", ElfSpec(type=2, dynamic=False))) == []


# -- libraries


def test_one_runtime_of_openmp_is_none_too_many(scene: Scene) -> None:
    other = ElfSpec(soname="libgomp-12345678.so.1")
    assert codes(scene, beside("demo.libs/libgomp-12345678.so.1", other)) == []


def test_mangled_copies_of_one_library(scene: Scene) -> None:
    first, second = "libfoo-0123abcd.so.1", "libfoo-89abcdef.so.1"
    fault = beside(f"demo.libs/{first}", ElfSpec(soname=first), (f"demo.libs/{second}", ElfSpec(soname=second)))
    (found,) = check(scene, fault)
    assert found.code == "duplicate-library"
    assert found.message == "is one of 2 copies of libfoo.so.1: a process that loads two has all of its state twice"
    assert found.context == (f"another copy is demo.libs/{second}, with other contents",)


FIRST = ElfSpec(soname="libfoo.so.1", defined=(Defined("first"),))
SECOND = ElfSpec(soname="libfoo.so.1", defined=(Defined("second"),))
FIRST_WINS = (
    "is one of 2 files for libfoo.so.1, which differ: "
    "in one process, all that need libfoo.so.1 get the one that is loaded first"
)


def test_different_libraries_of_one_soname_are_not_two_copies_of_one(scene: Scene) -> None:
    (found,) = check(scene, beside("demo/a/libfoo.so.1", FIRST, ("demo/b/own.so", SECOND)))
    assert (found.code, found.subject, found.message) == ("duplicate-library", "demo/a/libfoo.so.1", FIRST_WINS)
    assert found.context == ("another copy is demo/b/own.so, with other contents",)
    assert "different sonames" in found.hints[0]


def test_equal_files_of_one_soname_are_copies(scene: Scene) -> None:
    (found,) = check(scene, beside("demo/a/libfoo.so.1", FIRST, ("demo/b/own.so", FIRST)))
    assert found.message == "is one of 2 copies of libfoo.so.1: a process that loads two has all of its state twice"
    assert found.context == ("another copy is demo/b/own.so",)


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("demo/b/libfoo.so.1", FIRST_WINS),
        ("demo/b/own.so", "is one of 2 copies of libfoo.so.1: a process that loads two has all of its state twice"),
    ],
)
def test_musl_takes_files_for_one_by_their_file_names(scene: Scene, member: str, message: str) -> None:
    musl = replace(SOUND, needed=("libc.musl-x86_64.so.1",), undefined=())
    members = {"demo/_core.so": musl, "demo/a/libfoo.so.1": FIRST, member: SECOND}
    wheel = scene.wheel(members, tags=("cp311-cp311-musllinux_1_2_x86_64",))
    (found,) = check(scene, lambda _: wheel)
    assert found.message == message


def library(defined: Mapping[str, str | None], **options: object) -> ElfSpec:
    spec = ElfSpec(soname="libx.so", needed=(GLIBC,), defined=tuple(Defined(*row) for row in defined.items()))
    return replace(spec, **options)  # type: ignore[arg-type]  # the caller names fields


def with_library(spec: ElfSpec, **options: object) -> Fault:
    main = replace(SOUND, needed=("libx.so", GLIBC), runpath="$ORIGIN/../demo.libs", **options)  # type: ignore[arg-type]
    return core(main, libx_so=spec)


def test_a_library_that_defines_nothing_works_by_being_loaded(scene: Scene) -> None:
    assert codes(scene, with_library(library({}))) == []


def test_a_library_may_use_what_stands_beside_it_in_the_process(scene: Scene) -> None:
    spec = library({"x": None}, undefined=(Undefined("core"), Undefined("weak", weak=True)))
    fault = with_library(spec, defined=(Defined("core"),), undefined=(Undefined("x"),))
    assert codes(scene, fault) == []


def test_a_version_of_a_library_inside_must_be_there_under_its_name(scene: Scene) -> None:
    missing = Undefined("y", "X_1.0", "libx.so")
    fault = with_library(library({"x": "X_1.0"}), undefined=(Undefined("x", "X_1.0", "libx.so"), missing))
    (found,) = check(scene, fault)
    assert (found.code, found.message) == (
        "undefined-symbol",
        "uses symbols that no needed library defines: y",
    )


@pytest.mark.parametrize("tag", [DT_FILTER, DT_AUXILIARY])
def test_what_a_filter_names_provides_symbols_and_is_of_use(scene: Scene, tag: int) -> None:
    spec = replace(SOUND, undefined=(Undefined("x"),), runpath="$ORIGIN/../demo.libs", links=((tag, "libx.so"),))
    newer = "cp311-cp311-manylinux_2_34_x86_64"
    assert codes(scene, core(spec, newer, libx_so=library({"x": None, "y": None}))) == []
    assert codes(scene, core(replace(spec, undefined=()), newer, libx_so=library({"x": None}))) == []


def test_symbols_are_looked_for_although_an_optional_library_is_missing(scene: Scene) -> None:
    spec = replace(SOUND, undefined=(Undefined("nobody"),), links=((DT_AUXILIARY, "libno.so"),))
    assert codes(scene, core(spec)) == ["optional-library-missing", "undefined-symbol"]


@pytest.mark.parametrize("tag", [DT_AUDIT, DT_AUXILIARY])
def test_an_audit_library_provides_no_symbol_to_what_it_watches(scene: Scene, tag: int) -> None:
    program = replace(
        SOUND,
        needed=("liby.so", GLIBC),
        runpath="$ORIGIN/../lib",
        links=((tag, "libx.so"),),
        interpreter="/lib64/ld-linux-x86-64.so.2",
    )
    scripts, libraries = "demo-1.0.data/scripts", "demo-1.0.data/data/lib"
    user = library({"y": None}, soname="liby.so", undefined=(Undefined("x"),))
    others = ((f"{libraries}/libx.so", library({"x": None})), (f"{libraries}/liby.so", user))
    told = [] if tag == DT_AUXILIARY else ["undefined-symbol"]
    assert codes(scene, beside(f"{scripts}/run", program, *others)) == told


@pytest.mark.parametrize(
    ("version", "told"),
    [("FOO_2", True), ("FOO_1", False), ("weak", False)],
)
def test_a_version_that_a_library_of_the_wheel_lacks(scene: Scene, version: str, *, told: bool) -> None:
    needs = (NeedSpec("libx.so", "FOO_3", weak=True),) if version == "weak" else (NeedSpec("libx.so", version),)
    spec = replace(SOUND, needed=("libx.so", GLIBC), runpath="$ORIGIN/../demo.libs", needs=(*SOUND.needs, *needs))
    found = check(scene, core(spec, libx_so=library({"x": "FOO_1"})))
    messages = [row.message for row in found if row.code == "undefined-symbol"]
    assert messages == (["asks libx.so for versions that it does not define: FOO_2"] if told else [])
    # A library without versions has them all, as far as ld.so is concerned.
    assert "undefined-symbol" not in codes(scene, core(spec, libx_so=library({"x": None})))


def test_versions_of_the_systems_libraries_are_the_policies_matter(scene: Scene) -> None:
    spec = replace(SOUND, needs=(*SOUND.needs, NeedSpec(GLIBC, "GLIBC_2.15")))
    assert codes(scene, core(spec)) == []


def test_python_brings_parts_of_glibc_that_a_module_does_not_name(scene: Scene) -> None:
    for name, symbol in (("libm.so.6", "floor"), ("libpthread.so.0", "pthread_create"), ("libdl.so.2", "dlsym")):
        scene.system.library(f"/usr/lib/{name}", ElfSpec(soname=name, defined=(Defined(symbol),)))
    symbols = tuple(map(Undefined, ("floor", "pthread_create", "dlsym")))
    assert codes(scene, core(replace(SOUND, undefined=symbols))) == []
    (found,) = check(scene, core(replace(SOUND, undefined=(*symbols, Undefined("nobody")))))
    assert found.message.endswith(": nobody")


def test_many_symbols_are_not_all_told(scene: Scene) -> None:
    spec = replace(SOUND, undefined=tuple(Undefined(f"nobody{number:02}") for number in range(13)))
    (found,) = check(scene, core(spec))
    assert found.message.endswith("nobody08, nobody09 and 3 more")


def test_nothing_is_said_of_symbols_where_the_libraries_are_not_at_hand(scene: Scene) -> None:
    spec = replace(SOUND, undefined=(Undefined("nobody"),), needed=("libnowhere.so.1", GLIBC))
    assert codes(scene, core(spec), exclude=("libnowhere*",)) == []


def test_nothing_is_said_of_symbols_where_the_systems_library_is_unsound(scene: Scene) -> None:
    spec = ElfSpec(soname="libresolv.so.2", defined=(Defined("resolve"),))
    data, places = build_with_places(spec)
    broken = bytearray(data)
    struct.pack_into("<I", broken, places[".dynsym"] + 24, 1 << 24)  # st_name of the first symbol
    scene.system.write("/usr/lib/libresolv.so.2", bytes(broken))
    module = ElfSpec(needed=("libresolv.so.2", GLIBC), undefined=(Undefined("nobody"),))
    assert codes(scene, core(module)) == []


def test_a_part_of_the_c_library_that_is_unsound_provides_nothing(scene: Scene) -> None:
    data, places = build_with_places(ElfSpec(soname="libm.so.6", defined=(Defined("floor"),)))
    broken = bytearray(data)
    struct.pack_into("<I", broken, places[".dynsym"] + 24, 1 << 24)  # st_name of the first symbol
    scene.system.write("/usr/lib/libm.so.6", bytes(broken))
    (found,) = check(scene, core(replace(SOUND, undefined=(Undefined("floor"),))))
    assert found.message.endswith(": floor")


def test_a_module_that_names_no_c_library_has_it_nevertheless(scene: Scene) -> None:
    spec = ElfSpec(undefined=(Undefined("use0"), Undefined("nobody")))
    (found,) = check(scene, core(spec))
    assert found.message.endswith(": nobody")


def test_nothing_is_said_of_a_library_that_an_unknown_one_may_stand_beside(scene: Scene) -> None:
    def fault(scene: Scene) -> Path:
        library = ElfSpec(soname="libx.so", needed=(GLIBC,), defined=(Defined("x"),), undefined=(Undefined("y"),))
        main = ElfSpec(
            needed=("libx.so", "libnowhere.so", GLIBC), runpath="$ORIGIN/../demo.libs", undefined=(Undefined("x"),)
        )
        return scene.wheel({CORE: main, "demo.libs/libx.so": library}, tags=(TAG,))

    assert codes(scene, fault, exclude=("libnowhere*",)) == []


def test_a_cpp_runtime_is_the_second_one_only_where_the_system_offers_one(scene: Scene) -> None:
    musl = replace(SOUND, needed=("libc.musl-x86_64.so.1",), undefined=())
    members = {CORE: musl, "demo.libs/libstdc++.so.6": replace(musl, soname="libstdc++.so.6")}
    found = codes(scene, lambda scene: scene.wheel(members, tags=("cp311-cp311-musllinux_1_2_x86_64",)))
    assert "second-cpp-runtime" not in found
