from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from deloc8.audit.match import MatchOptions, Provision, close, is_libpython, match_policies
from deloc8.audit.violations import Violation, ViolationCode, describe
from deloc8.policy.load import builtin_policies, find_policy
from deloc8.policy.model import Family, Policy
from deloc8.target import Arch, Libc
from deloc8.workflow.audit import AuditOptions
from kit.elf import ET_EXEC, GLIBC, MACHINES, ElfSpec, NeedSpec, NoteSpec, Undefined
from kit.scene import CORE, Scene, best_tag, codes_of, match_of, violations_of, wants

if TYPE_CHECKING:
    from pathlib import Path

    from deloc8.audit.verdict import Audit

FOO = ElfSpec(soname="libfoo.so.1", needed=(GLIBC,))
NEEDS_FOO = ElfSpec(needed=("libfoo.so.1", GLIBC))
NEWEST = "manylinux_2_41"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def provision_of(audit: Audit, policy: str, name: str, member: str = CORE) -> Provision:
    path = next(file.path for file in audit.facts.files.values() if file.label == member)
    return match_of(audit, policy).closure.provisions[path, name]


# -- where libraries come from


def test_what_the_policy_allows_comes_from_the_system(scene: Scene) -> None:
    audit = scene.judge(ElfSpec(needed=(GLIBC, "libz.so.1", "ld-linux-x86-64.so.2")))
    assert provision_of(audit, NEWEST, GLIBC) is Provision.SYSTEM
    assert provision_of(audit, NEWEST, "libz.so.1") is Provision.SYSTEM
    assert provision_of(audit, NEWEST, "ld-linux-x86-64.so.2") is Provision.SYSTEM
    assert violations_of(audit, NEWEST) == ()
    assert provision_of(audit, "linux_pybe1_core", "libz.so.1") is Provision.MISSING


def test_what_it_does_not_allow_is_grafted_with_all_that_it_needs(scene: Scene) -> None:
    scene.system.library("/usr/lib/libfoo.so.1", replace(FOO, needed=("libdeep.so", GLIBC)))
    scene.system.library("/usr/lib/libdeep.so", ElfSpec(soname="libdeep.so", needed=("libnowhere.so",)))
    audit = scene.judge(NEEDS_FOO)
    closure = match_of(audit, NEWEST).closure
    assert [file.path for file in closure.grafts] == ["/usr/lib/libfoo.so.1", "/usr/lib/libdeep.so"]
    assert closure.chain(closure.grafts[1], audit.facts) == (CORE, "libfoo.so.1", "libdeep.so")
    assert provision_of(audit, NEWEST, "libfoo.so.1") is Provision.GRAFT
    assert provision_of(audit, NEWEST, "libnowhere.so", "/usr/lib/libdeep.so") is Provision.MISSING
    assert [(v.code.value, v.library, v.chain) for v in violations_of(audit, NEWEST)] == [
        ("library-not-allowed", "libfoo.so.1", (CORE,)),
        ("library-not-allowed", "libdeep.so", (CORE, "libfoo.so.1")),
        ("library-not-found", "libnowhere.so", (CORE, "libfoo.so.1", "libdeep.so")),
    ]
    assert match_of(audit, "linux").closure.grafts == ()
    assert not match_of(audit, NEWEST).is_reachable


def test_what_only_needs_grafts_is_reachable(scene: Scene) -> None:
    scene.system.library("/usr/lib/libfoo.so.1", FOO)
    match = match_of(scene.judge(NEEDS_FOO), NEWEST)
    assert not match.is_satisfied
    assert match.is_reachable


def test_a_library_of_the_wheel_comes_from_inside_even_if_the_system_has_it(scene: Scene) -> None:
    scene.system.library("/usr/lib/libfoo.so.1", FOO)
    audit = scene.audit({CORE: replace(NEEDS_FOO, rpath="$ORIGIN"), "demo/libfoo.so.1": FOO})
    assert provision_of(audit, NEWEST, "libfoo.so.1") is Provision.INSIDE
    assert violations_of(audit, NEWEST) == ()


def test_a_library_found_only_by_its_soname_comes_from_inside(scene: Scene) -> None:
    audit = scene.audit({CORE: NEEDS_FOO, "demo/own.so": FOO})
    assert provision_of(audit, NEWEST, "libfoo.so.1") is Provision.INSIDE
    assert best_tag(audit) == "manylinux_2_5_x86_64"


@pytest.mark.parametrize("glob", ["libfoo.so.1", "libfoo*", "/usr/lib/*", "/usr/lib/libfoo.so.1.2.3"])
def test_excluded_libraries_are_named_by_soname_or_path(scene: Scene, glob: str) -> None:
    scene.system.library("/usr/lib/libfoo.so.1.2.3", replace(FOO, needed=("libdeep.so",)))
    scene.system.symlink("/usr/lib/libfoo.so.1", "libfoo.so.1.2.3")
    scene.system.library("/usr/lib/libdeep.so", ElfSpec(soname="libdeep.so"))
    audit = scene.judge(NEEDS_FOO, exclude=(glob,))
    assert provision_of(audit, NEWEST, "libfoo.so.1") is Provision.EXCLUDED
    assert match_of(audit, NEWEST).closure.grafts == ()
    assert violations_of(audit, NEWEST) == ()


def test_a_glob_minds_case_and_the_whole_name(scene: Scene) -> None:
    audit = scene.judge(NEEDS_FOO, exclude=("LIBFOO*", "libfoo", "foo*"))
    assert provision_of(audit, NEWEST, "libfoo.so.1") is Provision.MISSING


def test_an_excluded_library_that_is_nowhere_is_not_missed(scene: Scene) -> None:
    audit = scene.judge(NEEDS_FOO, exclude=("libfoo.so.1",))
    assert provision_of(audit, NEWEST, "libfoo.so.1") is Provision.EXCLUDED
    assert best_tag(audit) == "manylinux_2_5_x86_64"


def test_a_library_of_the_system_is_grafted_on_request(scene: Scene) -> None:
    scene.system.library("/usr/lib/libz.so.1", ElfSpec(soname="libz.so.1"))
    audit = scene.judge(ElfSpec(needed=("libz.so.1", GLIBC)), graft=("libz.*",))
    assert provision_of(audit, NEWEST, "libz.so.1") is Provision.GRAFT
    assert codes_of(audit, NEWEST) == ["library-not-allowed"]


def test_a_graft_given_beforehand_is_one_under_every_policy(scene: Scene) -> None:
    scene.system.library("/usr/lib/libz.so.1", ElfSpec(soname="libz.so.1"))
    audit = scene.judge(ElfSpec(needed=("libz.so.1", GLIBC)))
    (match,) = match_policies(
        audit.facts, [match_of(audit, NEWEST).policy], MatchOptions(), grafted=frozenset({"/usr/lib/libz.so.1"})
    )
    assert [file.path for file in match.closure.grafts] == ["/usr/lib/libz.so.1"]


def test_a_requested_library_is_grafted_though_nothing_needs_it_and_the_policy_allows_it(scene: Scene) -> None:
    scene.system.library("/usr/lib/libz.so.1", ElfSpec(soname="libz.so.1"))
    audit = scene.judge(ElfSpec(needed=(GLIBC,)), include=("libz.so.1",))
    closure = match_of(audit, NEWEST).closure
    assert [file.path for file in closure.grafts] == ["/usr/lib/libz.so.1"]
    assert closure.chain(closure.grafts[0], audit.facts) == ("--include", "libz.so.1")


def test_a_requested_library_that_is_in_the_wheel_needs_no_graft(scene: Scene) -> None:
    audit = scene.audit(
        {CORE: ElfSpec(needed=(GLIBC,)), "demo/libfoo.so.1": FOO}, AuditOptions(include=("libfoo.so.1",))
    )
    assert match_of(audit, NEWEST).closure.grafts == ()


def test_policies_of_other_families_with_one_whitelist_are_matched_apart(scene: Scene) -> None:
    policy = find_policy("android_24", builtin_policies(Arch.AARCH64, Libc.ANDROID), Arch.AARCH64)
    custom = replace(policy, name="mine", family=Family.CUSTOM)
    notes = (NoteSpec("Android", 1, b"\x18\0\0\0"),)
    audit = scene.judge(replace(MACHINES["aarch64"], needed=("libc.so", "libpython3.13.so"), notes=notes))
    (theirs, ours) = match_policies(audit.facts, [policy, custom], MatchOptions())
    assert theirs.is_satisfied
    assert [violation.code.value for violation in ours.violations] == ["libpython-needed"]


# -- libpython


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("libpython3.11.so.1.0", True),
        ("libpython3.8m.so.1.0", True),
        ("libpython2.7.so", True),
        ("libpython3.so", False),
        ("libpython3.11.so.1.0.old", False),
        ("libpythonic.so.1", False),
    ],
)
def test_the_names_of_libpython(name: str, *, expected: bool) -> None:
    assert is_libpython(name) is expected


def test_libpython_is_dropped_from_an_extension_and_kept_for_a_program(scene: Scene) -> None:
    """Line of the peers: removing libpython broke executables that embed Python (#604)."""
    name = "libpython3.11.so.1.0"
    scene.system.library(f"/usr/lib/{name}", ElfSpec(soname=name))
    program = ElfSpec(type=ET_EXEC, interpreter="/lib64/ld-linux-x86-64.so.2", needed=(name, GLIBC))
    audit = scene.audit({CORE: ElfSpec(needed=(name, GLIBC)), "demo/bin/embedder": program})
    assert provision_of(audit, NEWEST, name) is Provision.DROPPED
    assert provision_of(audit, NEWEST, name, "demo/bin/embedder") is Provision.SYSTEM
    assert [(v.code.value, v.file) for v in violations_of(audit, NEWEST)] == [("libpython-needed", CORE)]
    assert match_of(audit, NEWEST).is_reachable


# -- versions


def test_every_symbol_that_is_too_new_is_named_with_its_library_and_file(scene: Scene) -> None:
    """Line of the peers: show never named the file and the symbol that are too new (#36)."""
    spec = ElfSpec(
        needed=(GLIBC, "libm.so.6"),
        undefined=(
            Undefined("memcpy", "GLIBC_2.14", GLIBC),
            Undefined("memmove", "GLIBC_2.14", GLIBC),
            Undefined("free", "GLIBC_2.2.5", GLIBC),
            Undefined("pow", "GLIBC_2.29", "libm.so.6"),
        ),
    )
    audit = scene.judge(spec)
    found = [(v.symbol, v.version, v.library, v.file, v.chain, v.limit) for v in violations_of(audit, "manylinux_2_12")]
    assert found == [
        ("memcpy", "GLIBC_2.14", GLIBC, CORE, (CORE,), "GLIBC_2.12"),
        ("memmove", "GLIBC_2.14", GLIBC, CORE, (CORE,), "GLIBC_2.12"),
        ("pow", "GLIBC_2.29", "libm.so.6", CORE, (CORE,), "GLIBC_2.12"),
    ]
    assert [v.symbol for v in violations_of(audit, "manylinux_2_17")] == ["pow"]
    assert best_tag(audit) == "manylinux_2_31_x86_64"


def test_a_version_without_symbols_counts_too(scene: Scene) -> None:
    spec = ElfSpec(needed=(GLIBC,), needs=(NeedSpec(GLIBC, "GLIBC_ABI_DT_RELR"),))
    (violation,) = violations_of(scene.judge(spec), "manylinux_2_35")
    assert (violation.symbol, violation.version) == (None, "GLIBC_ABI_DT_RELR")


def test_a_namespace_without_any_allowed_version_says_so(scene: Scene) -> None:
    name = "libatomic.so.1"
    spec = ElfSpec(needed=(name, GLIBC), undefined=(Undefined("x", "LIBATOMIC_1.0", name),))
    (violation,) = violations_of(scene.judge(spec), "manylinux_2_17")
    assert violation.limit == "no version of LIBATOMIC"


def test_zlib_ng_is_not_zlib(scene: Scene) -> None:
    """Line of the peers: ZLIB_NG was taken for ZLIB (#613)."""
    name = "libz.so.1"
    spec = ElfSpec(needed=(name, GLIBC), undefined=(Undefined("zng_inflate", "ZLIB_NG_2.1.0", name),))
    assert violations_of(scene.judge(spec), "manylinux_2_5") == ()
    spec = ElfSpec(needed=(name, GLIBC), undefined=(Undefined("inflateX", "ZLIB_2.1.0", name),))
    assert codes_of(scene.judge(spec), NEWEST) == ["symbol-too-new"]


def test_private_symbols_of_glibc_fit_no_policy(scene: Scene) -> None:
    audit = scene.judge(wants("GLIBC_PRIVATE"))
    assert best_tag(audit) == "linux_x86_64"
    assert all(codes_of(audit, m.policy.name) == ["symbol-too-new"] for m in audit.matches[:-1])


def test_the_versions_of_a_graft_do_not_count_but_its_own_wishes_do(scene: Scene) -> None:
    asks = ElfSpec(needed=("libfoo.so.1",), undefined=(Undefined("foo", "GLIBC_9.9", "libfoo.so.1"),))
    scene.system.library("/usr/lib/libfoo.so.1", wants("GLIBC_2.35", soname="libfoo.so.1"))
    audit = scene.judge(asks)
    assert [(v.code.value, v.file, v.chain, v.symbol) for v in violations_of(audit, "manylinux_2_34")] == [
        ("library-not-allowed", CORE, (CORE,), None),
        ("symbol-too-new", "/usr/lib/libfoo.so.1", (CORE, "libfoo.so.1"), "use0"),
    ]
    assert codes_of(audit, "manylinux_2_35") == ["library-not-allowed"]


def test_the_versions_of_an_excluded_library_count(scene: Scene) -> None:
    spec = ElfSpec(needed=("libstdc++.so.6",), undefined=(Undefined("x", "GLIBCXX_3.4.30", "libstdc++.so.6"),))
    audit = scene.judge(spec, exclude=("libstdc++*",))
    assert codes_of(audit, "manylinux_2_34") == ["symbol-too-new"]


def test_versions_of_a_library_inside_count_only_where_the_system_has_one_of_that_name(scene: Scene) -> None:
    name = "libstdc++.so.6"
    spec = ElfSpec(needed=(name,), rpath="$ORIGIN", undefined=(Undefined("x", "GLIBCXX_3.4.30", name),))
    audit = scene.audit({CORE: spec, f"demo/{name}": ElfSpec(soname=name)})
    assert codes_of(audit, "manylinux_2_34") == ["symbol-too-new"]
    own = replace(spec, needed=("libown.so",), undefined=(Undefined("x", "GLIBCXX_3.4.30", "libown.so"),))
    audit = scene.audit({CORE: own, "demo/libown.so": ElfSpec(soname="libown.so")})
    assert codes_of(audit, "manylinux_2_34") == []


# -- forbidden symbols

_ZLIB = "libz.so.1"


def zlib_user(*symbols: Undefined, needed: tuple[str, ...] = (_ZLIB, GLIBC)) -> ElfSpec:
    return ElfSpec(needed=needed, undefined=symbols)


def test_a_forbidden_symbol_bars_the_policies_that_forbid_it(scene: Scene) -> None:
    audit = scene.judge(zlib_user(Undefined("uncompress2")))
    (violation,) = violations_of(audit, "manylinux_2_31")
    assert (violation.code, violation.library, violation.symbol) == (
        ViolationCode.FORBIDDEN_SYMBOL,
        _ZLIB,
        "uncompress2",
    )
    # From 2.34 on the table allows this one.
    assert violations_of(audit, "manylinux_2_34") == ()


@pytest.mark.parametrize(
    "spec",
    [
        zlib_user(Undefined("uncompress2", weak=True)),
        zlib_user(Undefined("uncompress2"), needed=(GLIBC,)),
        zlib_user(Undefined("uncompress2", "FOO_1.0", "libfoo.so.1"), needed=(_ZLIB, GLIBC)),
        zlib_user(Undefined("inflate")),
    ],
    ids=["weak", "library not needed", "versioned by another library", "public"],
)
def test_what_is_no_forbidden_symbol(scene: Scene, spec: ElfSpec) -> None:
    assert "forbidden-symbol" not in codes_of(scene.judge(spec), "manylinux_2_5")


def test_a_forbidden_symbol_with_a_version_of_its_library_counts(scene: Scene) -> None:
    audit = scene.judge(zlib_user(Undefined("uncompress2", "ZLIB_1.2.0", _ZLIB)))
    assert "forbidden-symbol" in codes_of(audit, "manylinux_2_31")


def test_a_forbidden_symbol_of_a_grafted_library_is_free(scene: Scene) -> None:
    scene.system.library(f"/usr/lib/{_ZLIB}", ElfSpec(soname=_ZLIB))
    audit = scene.judge(zlib_user(Undefined("uncompress2")), graft=(_ZLIB,))
    assert codes_of(audit, "manylinux_2_31") == ["library-not-allowed"]


def test_grafted_libraries_are_checked_for_forbidden_symbols(scene: Scene) -> None:
    """Line of the peers: grafted libraries were not checked for forbidden symbols."""
    scene.system.library("/usr/lib/libfoo.so.1", replace(zlib_user(Undefined("uncompress2")), soname="libfoo.so.1"))
    audit = scene.judge(NEEDS_FOO)
    assert [(v.code.value, v.chain) for v in violations_of(audit, "manylinux_2_31")] == [
        ("library-not-allowed", (CORE,)),
        ("forbidden-symbol", (CORE, "libfoo.so.1")),
    ]
    assert codes_of(audit, "manylinux_2_34") == ["library-not-allowed"]


@pytest.mark.parametrize("symbol", ["PyFPE_jbuf", "PyFPE_dummy", "PyFPE_counter"])
def test_fpectl_bars_every_policy_but_the_generic_one(scene: Scene, symbol: str) -> None:
    """Line of the peers: a wheel that show rejects for PyFPE was repaired and tagged."""
    audit = scene.judge(ElfSpec(needed=(GLIBC,), undefined=(Undefined(symbol),)))
    assert best_tag(audit) == "linux_x86_64"
    assert not any(match.is_reachable for match in audit.matches[:-1])
    assert codes_of(audit, NEWEST) == ["pyfpe"]


def test_narrow_unicode_bars_every_policy_but_the_generic_one(scene: Scene) -> None:
    audit = scene.judge(ElfSpec(needed=(GLIBC,), undefined=(Undefined("PyUnicodeUCS2_FromString"),)))
    assert codes_of(audit, NEWEST) == ["ucs2"]
    wide = scene.judge(ElfSpec(needed=(GLIBC,), undefined=(Undefined("PyUnicodeUCS4_FromString"),)))
    assert codes_of(wide, NEWEST) == []


@pytest.mark.parametrize(
    ("abi", "codes"),
    [("cp27m", []), ("cp27", []), ("cp32m", []), ("cp27mu", ["ucs2"]), ("none", ["ucs2"]), ("cp27m.none", ["ucs2"])],
)
def test_narrow_unicode_is_right_where_the_abi_tag_says_it(scene: Scene, abi: str, codes: list[str]) -> None:
    """PEP 513, "UCS-2 vs UCS-4 builds": no wheel may claim to be for both."""
    spec = ElfSpec(needed=(GLIBC,), undefined=(Undefined("PyUnicodeUCS2_FromString"),))
    audit = scene.audit({CORE: spec}, tags=(f"cp27-{abi}-linux_x86_64",))
    assert codes_of(audit, NEWEST) == codes


# -- the processor


def isa_note(levels: int) -> NoteSpec:
    """GNU_PROPERTY_X86_ISA_1_NEEDED with some bits: 1 baseline, 2 v2, 4 v3, 8 v4."""
    return NoteSpec("GNU", 5, struct.pack("<IIII", 0xC0008002, 4, levels, 0))


@pytest.mark.parametrize(("bits", "level"), [(0b11, "x86-64-v2"), (0b111, "x86-64-v3"), (0b1000, "x86-64-v4")])
def test_a_processor_level_bars_every_policy_unless_it_is_accepted(scene: Scene, bits: int, level: str) -> None:
    spec = ElfSpec(needed=(GLIBC,), notes=(isa_note(bits),))
    (violation,) = violations_of(scene.judge(spec), NEWEST)
    assert (violation.code, violation.version) == (ViolationCode.ISA_LEVEL, level)
    assert violations_of(scene.judge(spec, check_isa=False), NEWEST) == ()


def test_the_baseline_and_other_machines_have_no_level(scene: Scene) -> None:
    assert codes_of(scene.judge(ElfSpec(needed=(GLIBC,), notes=(isa_note(1),))), NEWEST) == []
    spec = replace(MACHINES["i686"], needed=(GLIBC,), notes=(isa_note(4),))
    assert codes_of(scene.judge(spec, tag="linux_i686"), NEWEST) == []


def test_grafted_libraries_are_checked_for_their_processor_level(scene: Scene) -> None:
    scene.system.library("/usr/lib/libfoo.so.1", replace(FOO, notes=(isa_note(4),)))
    assert codes_of(scene.judge(NEEDS_FOO), NEWEST) == ["isa-level", "library-not-allowed"]


# -- hostile versions


@pytest.mark.parametrize(
    "version",
    [
        "GLIBC_2.99999999",
        "GLIBC_2." + "9" * 5000,
        "GLIBC_" + "2." * 5000,
        "GLIBC_",
        "GLIBC_2..5",
        "GLIBC_2.\N{ARABIC-INDIC DIGIT FIVE}",
        "GLIBC_2.5\n",
    ],
)
def test_no_policy_allows_a_hostile_version(scene: Scene, version: str) -> None:
    audit = scene.judge(wants(version))
    assert best_tag(audit) == "linux_x86_64"
    assert codes_of(audit, NEWEST) == ["symbol-too-new"]


@pytest.mark.parametrize("version", ["", "_", "9", "A" * 5000, "_2.5", "\udcff"])
def test_an_odd_version_is_no_traceback(scene: Scene, version: str) -> None:
    assert best_tag(scene.judge(wants(version))) in {"linux_x86_64", "manylinux_2_5_x86_64"}


# -- words


def violation(code: ViolationCode, **options: str) -> Violation:
    values = {"library": "libz.so.1", "symbol": "deflate", "version": "Z_1", "limit": "Z_0", **options}
    return Violation(code=code, policy="manylinux_2_5", file=CORE, chain=(CORE,), **values)


def test_all_symbols_of_a_library_stand_in_one_line_sorted_by_version() -> None:
    rows = [
        violation(ViolationCode.SYMBOL_TOO_NEW, symbol="b", version="GLIBC_2.14", limit="GLIBC_2.5"),
        violation(ViolationCode.SYMBOL_TOO_NEW, symbol="a", version="GLIBC_2.14", limit="GLIBC_2.5"),
        violation(ViolationCode.SYMBOL_TOO_NEW, symbol="c", version="GLIBC_2.7", limit="GLIBC_2.5"),
        violation(ViolationCode.SYMBOL_TOO_NEW, symbol="", version="ZLIB_1", limit="no version of ZLIB"),
        violation(ViolationCode.SYMBOL_TOO_NEW, library="liba.so", symbol="x", version="A_1", limit=""),
    ]
    assert describe(rows) == (
        "needs x@A_1 from liba.so",
        (
            "needs c@GLIBC_2.7, a@GLIBC_2.14, b@GLIBC_2.14, ZLIB_1 from libz.so.1; "
            "manylinux_2_5 ends at GLIBC_2.5, no version of ZLIB"
        ),
    )


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (ViolationCode.LIBRARY_NOT_ALLOWED, "needs libz.so.1, which manylinux_2_5 does not take from the system"),
        (
            ViolationCode.LIBRARY_NOT_FOUND,
            "needs libz.so.1, which is neither in the wheel nor found on this system",
        ),
        (ViolationCode.LIBPYTHON_NEEDED, "needs libz.so.1; the Python process has it already"),
        (ViolationCode.FORBIDDEN_SYMBOL, "uses `deflate` of libz.so.1, which manylinux_2_5 forbids"),
        (ViolationCode.ISA_LEVEL, "needs a processor of level Z_1; manylinux_2_5 promises Z_0 only"),
        (ViolationCode.UCS2, "uses `deflate`, which only a narrow-unicode (UCS2) build of Python has"),
        (ViolationCode.PYFPE, "uses `deflate`, which only a Python built with fpectl has"),
    ],
)
def test_every_other_violation_has_a_line_and_stands_once(code: ViolationCode, text: str) -> None:
    assert describe([violation(code), violation(code)]) == (text,)


def test_only_grafts_dropped_entries_and_cleared_flags_cure() -> None:
    curable = {code for code in ViolationCode if violation(code).is_curable}
    stacks = {ViolationCode.EXECUTABLE_STACK, ViolationCode.MISSING_STACK_HEADER}
    assert curable == {ViolationCode.LIBRARY_NOT_ALLOWED, ViolationCode.LIBPYTHON_NEEDED} | stacks


def test_a_closure_asks_only_for_the_files_of_the_wheel_under_a_free_policy(scene: Scene) -> None:
    scene.system.library("/usr/lib/libfoo.so.1", FOO)
    audit = scene.judge(NEEDS_FOO)
    closure = close(audit.facts, audit.matches[-1].policy, MatchOptions())
    assert [file.label for file in closure.files] == [CORE]


def test_a_policy_is_asked_once_for_each_version(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    wanting = ElfSpec(needed=(GLIBC,), undefined=(Undefined("memcpy", "GLIBC_2.14", GLIBC),))
    audit = scene.audit({CORE: wanting, "demo/other.so": wanting})
    asked = []
    allows = Policy.allows_version

    def answer(self: Policy, version: str) -> bool:
        asked.append(version)
        return allows(self, version)

    monkeypatch.setattr(Policy, "allows_version", answer)
    (match,) = match_policies(audit.facts, (match_of(audit, "manylinux_2_12").policy,), audit.options)
    assert [(violation.file, violation.version) for violation in match.violations] == [
        (CORE, "GLIBC_2.14"),
        ("demo/other.so", "GLIBC_2.14"),
    ]
    assert asked == ["GLIBC_2.14"]
