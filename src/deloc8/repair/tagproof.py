"""The proof of the tags: name, WHEEL file and contents of a written wheel say the same, and it is true."""

from __future__ import annotations

from deloc8.audit.verdict import Truth
from deloc8.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from deloc8.audit.verdict import Audit
    from deloc8.repair.model import Plan
    from deloc8.wheel.metadata import WheelMetadata
    from deloc8.wheel.names import WheelName


def tag_problems(plan: Plan, audit: Audit, wheel: WheelMetadata) -> Iterator[str]:
    """Evidence that the tags of a written wheel are not the planned ones, disagree, or are not true."""
    facts = audit.facts
    if facts.name != plan.target:
        yield f"the file name is {facts.name.filename}, planned was {plan.target.filename}"
    if plan.tags is None:
        return
    pure = [value for name, value in wheel.fields if name.lower() == "root-is-purelib"]
    if pure != ["false"]:
        yield f"the WHEEL file says {len(pure)} times whether the root is purelib: {', '.join(pure)}"
    if sorted(facts.metadata_tags) != sorted(facts.name.tags):
        yield f"the WHEEL file has the tags {', '.join(facts.metadata_tags)}, the name {', '.join(facts.name.tags)}"
    for judged in audit.claims:
        if judged.truth is Truth.FALSE:
            yield f"the tag {judged.tag} is not true: {judged.reason}"


def name_of_wheel_problems(plan: Plan) -> Iterator[str]:
    """Evidence that `packaging` reads other tags than planned; installers and the index use it."""
    read = _read_tags(plan.target)
    # A name that was none before the repair, say by its version, is not ours to mend.
    if read != sorted(tag.lower() for tag in plan.target.tags) and _read_tags(plan.source):
        yield f"{plan.target.filename} is read as {', '.join(read) or 'no name of a wheel'}"


def _read_tags(name: WheelName) -> list[str]:
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename  # noqa: PLC0415  costs 30 ms

    try:
        # The variant label of the draft PEP 825 is unknown to it.
        _, _, _, tags = parse_wheel_filename(replace(name, variant="").filename)
    except InvalidWheelFilename:
        return []
    return sorted(str(tag) for tag in tags)
