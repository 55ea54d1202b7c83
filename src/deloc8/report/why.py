"""The answers of `why`, as text and as JSON."""

from __future__ import annotations

from deloc8.audit.violations import Violation, describe
from deloc8.elf.read.dynamic import LinkKind
from deloc8.explain.why import SubjectKind
from deloc8.policy.model import version_key
from deloc8.report.dlopened import opening_value, openings_text
from deloc8.text import filled, joined, paragraphs, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TypeAlias

    from deloc8.explain.why import Answer, Use
    from deloc8.report.to_json import Json
    from deloc8.text import Lines


# A sentence, the uses of a thing, or the violations that block a tag.
Part: TypeAlias = "Lines | tuple[Use, ...] | tuple[Violation, ...]"


def why_text(wheel: str, answer: Answer) -> Lines:
    """An answer, ready to print."""
    return paragraphs(map(_paragraph, why_parts(wheel, answer)))


def _paragraph(part: Part) -> Lines:
    return part if isinstance(part, str) else joined(_by_chain(_described(part)))


def why_parts(wheel: str, answer: Answer) -> Iterator[Part]:
    """An answer in its parts."""
    if answer.kind is SubjectKind.TAG:
        yield filled(f'{wheel} and the platform tag "{answer.subject}":')
        yield from _of_tag(answer)
    else:
        if answer.uses:
            yield filled(f"{wheel} and the {answer.kind.value} {answer.subject}: it is asked for by")
            yield answer.uses
        else:
            yield filled(f"{wheel} and the library {answer.subject}: no file needs it.")
        if answer.openings:
            yield openings_text(answer.openings, verbose=True)
        if answer.bars:
            yield filled(f"It bars, by itself or by what it brings in, the tags {', '.join(answer.bars)}.")
        elif answer.inside_for:
            yield filled(f"It must be inside the wheel for the tags {', '.join(answer.inside_for)}.")
        else:
            yield printable("It bars no tag.")
    if answer.ways:
        yield printable("Ways out, the least effort first:")
        yield joined(filled(way, f"  {number}. ", "     ") for number, way in enumerate(answer.ways, 1))


def _of_tag(answer: Answer) -> Iterator[Part]:
    curable = tuple(row for row in answer.violations if row.is_curable)
    blocking = tuple(row for row in answer.violations if not row.is_curable)
    if not answer.violations:
        yield printable("The wheel fits it as it stands.")
    for rows, head in ((blocking, "It is barred by what these files do:"), (curable, "`deloc8 fixup` cures these:")):
        if rows:
            yield printable(head)
            yield rows


def _described(rows: tuple[Use, ...] | tuple[Violation, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Uses and violations of each file, in lines."""
    violations = [row for row in rows if isinstance(row, Violation)]
    yield from _used([row for row in rows if not isinstance(row, Violation)])
    by_chain: dict[tuple[str, ...], list[Violation]] = {}
    for row in violations:
        by_chain.setdefault(row.chain, []).append(row)
    for chain in sorted(by_chain, key=lambda chain: (len(chain), chain)):
        for text in describe(by_chain[chain]):
            yield chain, text


def _by_chain(rows: Iterator[tuple[tuple[str, ...], str]]) -> Iterator[Lines]:
    last: tuple[str, ...] = ()
    for chain, text in rows:
        if chain != last:
            yield printable(f"  {' -> '.join(chain)}")
            last = chain
        yield filled(text, "    ", "      ")


def _used(uses: Sequence[Use]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Uses by file: a line for each library, and one for all symbols of a library."""
    grouped: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for use in uses:
        subject = "@".join(filter(None, (use.symbol, use.version)))
        if subject:
            end = f" from {use.library}" if use.library else ""
            grouped.setdefault((use.chain, end), []).append(subject)
        else:
            by = f" ({use.link.value})" if use.link is not None and use.link is not LinkKind.NEEDED else ""
            grouped[use.chain, f"{use.library}{by}: {use.found or 'not found'}"] = [""]
    for (chain, end), subjects in grouped.items():
        yield chain, f"needs {', '.join(dict.fromkeys(subjects))}{end}"


def why_value(wheel: str, answer: Answer) -> Json:
    """An answer for programs."""
    uses: list[Json] = [
        {
            "file": use.file,
            "chain": list(use.chain),
            "library": use.library,
            "symbol": use.symbol,
            "version": use.version,
            "link": None if use.link is None else use.link.value,
        }
        for use in answer.uses
    ]
    violations: list[Json] = [
        {
            "code": row.code.value,
            "file": row.file,
            "symbol": row.symbol,
            "version": None if row.since else row.version,
            "since": row.since,
            "library": row.library,
            "chain": list(row.chain),
        }
        for row in sorted(
            answer.violations,
            key=lambda row: (
                len(row.chain),
                row.chain,
                row.code.value,
                row.library or "",
                version_key(row.version or ""),
                row.symbol or "",
            ),
        )
    ]
    return {
        "wheel": wheel,
        "subject": answer.subject,
        "kind": answer.kind.value,
        "uses": uses,
        "violations": violations,
        "bars": list(answer.bars),
        "inside_for": list(answer.inside_for),
        "ways_out": list(answer.ways),
        "openings": [opening_value(opening) for opening in answer.openings],
    }
