"""Reports as one HTML page that needs nothing beside it: no network, and scripts only for comfort."""

from __future__ import annotations

from deloc8.errors import UsageError
from deloc8.repair.model import Outcome
from deloc8.report.dlopened import opening_known, opening_place, opening_source
from deloc8.report.graph import MEANINGS
from deloc8.report.page import repair_page, wheel_page
from deloc8.text import Lines, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Template

    from deloc8.report.page import Entry

_STATUSES = {"fits": "fits as it is", "reachable": "fixup can reach it", "barred": "barred"}


def read_template() -> Template:
    """The template of the page.

    Raises:
        UsageError: Jinja2 is not installed.
    """
    from importlib.resources import files  # noqa: PLC0415  only this output needs templates

    try:
        from jinja2 import Environment, StrictUndefined  # noqa: PLC0415  an extra; see below
        from markupsafe import Markup  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            "--format html needs Jinja2, which is not installed",
            code="missing-extra",
            hints=("pip install 'deloc8[html]'",),
        ) from error

    def shown(value: object) -> object:
        # A name may hold control characters, which HTML allows in no form, and characters that turn the text around.
        return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    folder = files("deloc8.report") / "templates"
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=shown
    )
    # These two are ours, and HTML has no escapes inside them.
    for name in ("page.css", "page.js"):
        text = Markup((folder / name).read_text("utf-8"))  # noqa: S704  see above
        environment.globals[name.replace(".", "_")] = text
        environment.globals[name.replace(".", "_") + "_hash"] = _hash(text)
    environment.globals.update(
        meanings=MEANINGS,
        statuses=_STATUSES,
        opening_known=opening_known,
        opening_place=opening_place,
        opening_source=opening_source,
    )
    return environment.from_string((folder / "page.html.j2").read_text("utf-8"))


def _hash(text: str) -> str:
    """Hash for the page's Content-Security-Policy, which allows this text alone (CSP Level 3, 2.3.1)."""
    import base64  # noqa: PLC0415  only this output needs them
    import hashlib  # noqa: PLC0415

    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def html_page(command: str, entries: Sequence[Entry]) -> Lines:
    """The page on some wheels, in ASCII: it is the same in every locale.

    Raises:
        UsageError: Jinja2 is not installed.
    """
    text = read_template().render(command=command, wheels=[_wheel(entry) for entry in entries])
    return Lines(text.encode("ascii", "xmlcharrefreplace").decode("ascii") + "\n")


def _wheel(entry: Entry) -> Mapping[str, object]:
    audit, repair = entry.audit, entry.repair
    compiled = audit if audit is not None and not audit.is_pure else None
    plan = repair.plan if isinstance(repair, Outcome) else repair
    return {
        "name": entry.name,
        "error": entry.error,
        "page": wheel_page(compiled, plan) if compiled else None,
        "repair": repair_page(compiled, repair) if compiled and repair else None,
    }
