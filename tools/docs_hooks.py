"""What mkdocs asks while it builds the documentation: the pages that are made from the code.

mkdocs.yml names this file as a hook; `make docs` builds the pages into build/site.
"""

from __future__ import annotations

import inspect
import json
import re
from importlib import resources
from typing import TYPE_CHECKING

import deloc8
from deloc8.cli.args import build_parser
from deloc8.cli.help import every_parser
from deloc8.policy.load import builtin_policies
from deloc8.policy.model import version_key
from deloc8.repair.lowering.compat_library import provided
from deloc8.repair.lowering.table import LoweringClass, load_table
from deloc8.target import Arch, Libc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of the site, with the pages of the reference among them."""
    from mkdocs.structure.files import File  # noqa: PLC0415  the pages themselves can be made without mkdocs

    for name, text in reference_pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def reference_pages() -> dict[str, str]:
    """The pages made from the code: their text by their path below docs/."""
    return {
        "reference/command-line.md": command_line_page(),
        "reference/policies.md": policies_page(),
        "reference/older-versions.md": older_versions_page(),
        "reference/api.md": api_page(),
    }


def command_line_page() -> str:
    """What `--help` of deloc8 and of each command prints."""
    parts = [
        "# Command line",
        "What `--help` prints, made from the parsers themselves. `repair` is another name of `fixup`.",
    ]
    for parser in every_parser(build_parser()):
        parts += [f"## {parser.prog}", f"```text\n{parser.format_help().rstrip()}\n```"]
    return "\n\n".join(parts) + "\n"


def policies_page() -> str:
    """The built-in policies of each C library, for the machines that have them."""
    parts = ["# Policies", "`deloc8 policies NAME` prints one of them in the shape that `--policy` reads."]
    for libc in Libc:
        names: dict[str, list[str]] = {}
        for arch in Arch:
            for policy in builtin_policies(arch, libc):
                label = ", ".join((policy.name, *policy.aliases))
                names.setdefault(label, []).append(arch.value)
        rows = [f"| `{name}` | {', '.join(machines)} |" for name, machines in names.items()]
        parts += [f"## {libc.value}", "\n".join(["| policy, other names | machines |", "|---|---|", *rows])]
    return "\n\n".join(parts) + "\n"


_CLASSES = {
    LoweringClass.MOVED: "the same function: only its version and its library changed",
    LoweringClass.SAME: "another name of the same function",
    LoweringClass.SUPERSET: "another function, which keeps every promise of the newer one",
    LoweringClass.DIFFERS: "another function, with a small, known difference",
}


def older_versions_page() -> str:
    """The ways to older versions of glibc's symbols: how many, and those that were decided by hand."""
    ways = {arch.value: table.every_way() for arch in Arch if (table := load_table(arch))}
    parts = [
        "# Older versions of symbols",
        "To which older version a symbol of glibc can be bound, made from the tables that deloc8 carries.",
        "[How the tables are made](../explanation/older-versions.md) is told elsewhere.",
    ]
    rows = [
        f"| {machine} | {' | '.join(str(sum(way.kind is kind for way in found)) for kind in LoweringClass)} |"
        for machine, found in ways.items()
    ]
    head = f"| machine | {' | '.join(kind.value for kind in LoweringClass)} |"
    parts.append("\n".join([head, "|---|" + "---|" * len(LoweringClass), *rows]))
    for kind in (LoweringClass.SUPERSET, LoweringClass.DIFFERS):
        found: dict[str, dict[tuple[str, str, str], None]] = {}
        for way in (way for table in ways.values() for way in table if way.kind is kind):
            found.setdefault(way.reason, {})[way.symbol, way.version, way.to_symbol] = None
        parts += [f"## {kind.value}", f"{_CLASSES[kind].capitalize()}.", _older_rows(found)]
    parts += [
        "## No older version",
        f"Functions that are new since glibc {_SINCE} on x86_64, and to which nothing older corresponds.",
        "Those in bold are in the compatibility library. Vector functions and variants for `_Float64` are left out.",
        _new_functions(Arch.X86_64),
    ]
    return "\n\n".join(parts) + "\n"


_SINCE = "2.17"
_VARIANT = re.compile(r"_ZGV|f(32|64|128)x?(_\w+)?$|^f(32|64)x?(add|sub|mul|div|fma|sqrt)")


def _new_functions(arch: Arch) -> str:
    """The table of the symbols that have one version and no way, by version."""
    file = resources.files("deloc8.repair") / "data" / "lowering" / f"{arch.value}.json"
    single: dict[str, str] = json.loads(file.read_text("utf-8"))["single"]
    table, carried = load_table(arch), provided(arch)
    rows = ["| glibc | functions |", "|---|---|"]
    for version, names in single.items():
        left = [
            f"**`{name}`**" if name in carried else f"`{name}`"
            for name in names.split()
            if table is not None and not table.ways(name, f"GLIBC_{version}") and not _VARIANT.search(name)
        ]
        if left and version_key(f"GLIBC_{version}") > version_key(f"GLIBC_{_SINCE}"):
            rows.append(f"| {version} | {' '.join(left)} |")
    return "\n".join(rows)


def _older_rows(found: Mapping[str, Iterable[tuple[str, str, str]]]) -> str:
    """The table of one class: a row for each reason."""
    rows = ["| asked for | bound to an older | because |", "|---|---|---|"]
    for reason, names in found.items():
        versions = sorted({version for _, version, _ in names}, key=version_key)
        symbols = sorted({f"`{symbol}`" for symbol, _, _ in names})
        targets = sorted({f"`{target}`" for _, _, target in names})
        numbers = ", ".join(version.removeprefix("GLIBC_") for version in versions)
        rows.append(f"| {' '.join(symbols)} ({numbers}) | {' '.join(targets)} | {reason} |")
    return "\n".join(rows)


def api_page() -> str:
    """The public names of the package, with their signatures and docstrings."""
    parts = ["# Python API", "Everything that `import deloc8` gives. Other modules may change without notice."]
    for name in deloc8.__all__:
        parts += [f"## {name}", _signature(name), _docstring(getattr(deloc8, name))]
    return "\n\n".join(parts) + "\n"


def _signature(name: str) -> str:
    value = getattr(deloc8, name)
    try:
        signature = inspect.signature(value)
    except ValueError:
        return f"```text\n{name}\n```"
    bare = [
        each.replace(
            annotation=_shown(each.annotation), default=each.empty if each.default is each.empty else _Shown("...")
        )
        for each in signature.parameters.values()
    ]
    shown = signature.replace(parameters=bare, return_annotation=_shown(signature.return_annotation))
    return f"```python\n{name}{shown}\n```"


def _shown(annotation: object) -> object:
    """An annotation without the quotes of a text, which it is for the interpreter alone."""
    return _Shown(annotation) if isinstance(annotation, str) else annotation


class _Shown(str):
    """What stands in a signature as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _docstring(value: object) -> str:
    """The docstring as the text that it is; Markdown would take its names for marks."""
    return f"```text\n{inspect.getdoc(value) or ''}\n```"
