"""Why deloc8 and auditwheel may differ on a wheel: each rule with the facts that must hold; see docs/differences.md."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NO_ELF = "error: no ELF files"
"""The tag of a wheel that a tool refuses because there is nothing to judge."""

_HASH = re.compile(r"-[0-9a-f]{8}(?=\.)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one tool says of a wheel.

    Attributes:
        tag: The overall tag; "pure" where there are no ELF files; "error: ..." where the tool gives none.
        libraries: The libraries that the best policy does not take from the system, by needed name.
        raw: The tool's own JSON.
        repair: What came of the repair; None where it was not asked for.
    """

    tag: str
    libraries: tuple[str, ...] = ()
    raw: dict[str, Any] = field(default_factory=dict)
    repair: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        """The platform part of the repaired wheel's name."""
        if self.repair is None:
            return ""
        name: str | None = self.repair["name"]
        return "refused" if name is None else name[: -len(".whl")].rsplit("-", 1)[1]

    @property
    def last_words(self) -> str:
        """The last line that the tool printed to stderr when it failed, at `repair` or else at `show`."""
        said: str = (self.repair or self.raw).get("err", "")
        return said.strip().rpartition("\n")[2]

    @property
    def grafts(self) -> tuple[str, ...]:
        """The file names of the grafts without their hashes, which cover other things in each tool."""
        names = self.repair["grafts"] if self.repair else ()
        return tuple(sorted(_HASH.sub("", name.rpartition("/")[2]) for name in names))

    def cell(self, name: str) -> tuple[str, ...]:
        """One field as a row shows it, in one part or, of several libraries, in as many."""
        value: str | tuple[str, ...] = getattr(self, name)
        return (value,) if isinstance(value, str) else value


def shorten(parts: tuple[str, ...]) -> str:
    """Parts in few words."""
    more = len(parts) - _PARTS_SHOWN
    shown = ",".join(parts[:_PARTS_SHOWN]) or "-"
    return f"{shown},and {more} more" if more > 0 else shown


_PARTS_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A wheel with both answers."""

    wheel: str
    ours: Answer
    theirs: Answer

    def unlike(self, name: str) -> tuple[str, str]:
        """What only one of the two says in a field that differs, deloc8 first."""
        ours, theirs = self.ours.cell(name), self.theirs.cell(name)
        return (
            ",".join(part for part in ours if part not in theirs) or "-",
            ",".join(part for part in theirs if part not in ours) or "-",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An explanation.

    Attributes:
        name: Its name in docs/differences.md.
        holds: For each field that it can explain: whether it explains a wheel's difference there.
    """

    name: str
    holds: Mapping[str, Callable[[Case], bool]]


def explain(case: Case, field_name: str) -> str | None:
    """The name of the first rule that explains a difference; None where none does."""
    return next((rule.name for rule in RULES if field_name in rule.holds and rule.holds[field_name](case)), None)


def _stopped_at_linker_script(case: Case) -> bool:
    """On a glibc machine `libc.so`, which a musl wheel needs, is a text for the linker."""
    return (
        case.theirs.last_words.endswith("ELFError: Magic number does not match") and case.ours.raw.get("libc") == "musl"
    )


def _missed_own_library(case: Case) -> bool:
    """What auditwheel could not locate is nothing that deloc8 finds outside the wheel, nor misses."""
    found = re.search(r'required library "([^"]+)" could not be located', case.theirs.last_words)
    return found is not None and found[1] not in case.ours.raw.get("external_libraries", {found[1]})


def _lists_own_libraries(case: Case) -> bool:
    outside = case.ours.raw.get("external_libraries", {})
    more = set(case.theirs.libraries) - set(case.ours.libraries)
    lost = all(case.theirs.raw["external_libs"][name] is None and name not in outside for name in more)
    return lost and set(case.ours.libraries) <= set(case.theirs.libraries)


def _believes_musllinux_1_1(case: Case) -> bool:
    claimed = f"-{case.ours.tag}" in case.wheel or f".{case.ours.tag}" in case.wheel
    return claimed and case.ours.tag == case.theirs.tag.replace("musllinux_1_2_", "musllinux_1_1_")


def _names_musllinux_1_2_too(case: Case) -> bool:
    return _believes_musllinux_1_1(case) and case.theirs.name == f"{case.ours.name}.{case.theirs.tag}"


# What the policies limit beside glibc's own versions; the namespace of ZLIB_NG_2.1 is "ZLIB" for auditwheel.
_LIMITED = ("ZLIB_", "GCC_", "GLIBCXX_", "CXXABI_", "LIBATOMIC_", "GLIBC_")


def _counts_own_versions(case: Case) -> bool:
    """Both count the same versions of libraries outside the wheel, and auditwheel others beside them."""
    ours, theirs = (answer.raw.get("versioned_symbols", {}) for answer in (case.ours, case.theirs))
    same = all(set(versions) == set(theirs.get(library, ())) for library, versions in ours.items())
    own = {
        library
        for library in theirs
        if library not in ours and library not in case.ours.raw.get("external_libraries", {})
    }
    return same and any(version.startswith(_LIMITED) for library in own for version in theirs[library])


def _tagged_by_own_versions(case: Case) -> bool:
    named = case.theirs.tag in case.theirs.name.split(".")
    return _counts_own_versions(case) and (named or _refused_as_too_recent(case))


def _holds_other_machines(case: Case) -> bool:
    codes = {notice["code"] for notice in case.ours.raw.get("notices", ())}
    return "foreign-file" in codes and case.wheel.endswith("-any.whl")


def _has_untrue_record(case: Case) -> bool:
    return "[record-mismatch]" in (case.ours.repair or {}).get("err", "")


def _is_pure_for_a_platform(case: Case) -> bool:
    return (case.ours.tag, case.theirs.tag) == ("pure", NO_ELF) and not case.wheel.endswith("-any.whl")


def _tops_the_tables(case: Case) -> bool:
    """A glibc beyond the policies' last point has a tag all the same (PEP 600)."""
    found = re.match(r"manylinux_2_(\d+)_", case.ours.tag)
    return found is not None and int(found[1]) > _LAST_POINT and case.theirs.tag.startswith("linux_")


_LAST_POINT = 41


def _refused_as_too_recent(case: Case) -> bool:
    return "because of the presence of too-recent versioned symbols" in case.theirs.last_words


def _takes_zlib_ng_for_zlib(case: Case) -> bool:
    versions = case.ours.raw.get("versioned_symbols", {}).get("libz.so.1", ())
    return any(version.startswith("ZLIB_NG_") for version in versions) and case.theirs.tag.startswith("linux_")


def _needs_a_release(case: Case) -> bool:
    """Symbols without versions keep the wheel from a tag; auditwheel does not look at them."""
    codes = {row["code"] for policy in case.ours.raw.get("policies", ()) for row in policy["violations"]}
    return "release-too-new" in codes


def _keeps_false_tags(case: Case) -> bool:
    false = {claim["tag"] for claim in case.ours.raw.get("claimed_tags", ()) if claim["truth"] == "false"}
    ours, theirs = set(case.ours.name.split(".")), set(case.theirs.name.split("."))
    return ours < theirs and theirs - ours <= false


def _repairs_what_it_rejects(case: Case) -> bool:
    return bool(case.theirs.raw.get("pyfpe")) and "[pyfpe]" in (case.ours.repair or {}).get("err", "")


def _asks_for_stack(case: Case) -> bool:
    """Every tag of glibc is untrue for that alone: the nearest ones have no other violation."""
    codes = {notice["code"] for notice in case.ours.raw.get("notices", ())}
    has_stack = not codes.isdisjoint({"executable-stack", "missing-stack-header"})
    return has_stack and case.ours.tag.startswith("linux_") and case.theirs.tag.startswith("manylinux")


def _runs_its_stack(case: Case) -> bool:
    return "[executed-stack]" in (case.ours.repair or {}).get("err", "")


def _is_packed_unmarked(case: Case) -> bool:
    """The tag that auditwheel gives is one that packed relocations bar."""
    for policy in case.ours.raw.get("policies", ()):
        if case.theirs.tag in (policy["name"], *policy["aliases"]):
            return "relr-without-marker" in {row["code"] for row in policy["violations"]}
    return False


def _all_of(*tests: Callable[[Case], bool]) -> Callable[[Case], bool]:
    return lambda case: all(test(case) for test in tests)


RULES = (
    Rule(name="musl-linker-script", holds={"tag": _stopped_at_linker_script, "name": _stopped_at_linker_script}),
    Rule(name="own-library-lost", holds={"libraries": _lists_own_libraries, "name": _missed_own_library}),
    Rule(name="musllinux-1-1", holds={"tag": _believes_musllinux_1_1, "name": _names_musllinux_1_2_too}),
    Rule(name="own-library-versions", holds={"tag": _counts_own_versions, "name": _tagged_by_own_versions}),
    Rule(
        name="newer-glibc",
        holds={"tag": _tops_the_tables, "name": _all_of(_tops_the_tables, _refused_as_too_recent)},
    ),
    Rule(
        name="zlib-ng",
        holds={"tag": _takes_zlib_ng_for_zlib, "name": _all_of(_takes_zlib_ng_for_zlib, _refused_as_too_recent)},
    ),
    Rule(name="library-release", holds={"tag": _needs_a_release, "name": _needs_a_release}),
    Rule(name="false-tag-kept", holds={"name": _keeps_false_tags}),
    Rule(name="pyfpe-repaired", holds={"name": _repairs_what_it_rejects}),
    Rule(name="executable-stack", holds={"tag": _asks_for_stack, "name": _runs_its_stack}),
    Rule(name="relr-without-marker", holds={"tag": _is_packed_unmarked, "name": _is_packed_unmarked}),
    Rule(name="several-machines", holds={"tag": _holds_other_machines}),
    Rule(name="untrue-record", holds={"name": _has_untrue_record}),
    Rule(name="pure-for-a-platform", holds={"tag": _is_pure_for_a_platform}),
)
