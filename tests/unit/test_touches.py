"""Every call that touches the outer world is one whose errors somebody translates."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import deloc8

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(deloc8.__file__).parent

# Of `os`, by full name; of paths and files, by the name of the method.
OF_OS = frozenset(
    [
        "open",
        "read",
        "write",
        "pread",
        "preadv",
        "pwrite",
        "stat",
        "lstat",
        "fstat",
        "listdir",
        "scandir",
        "walk",
        "readlink",
        "unlink",
        "rename",
        "replace",
        "mkdir",
        "rmdir",
        "truncate",
        "fsync",
        "link",
        "symlink",
        "fork",
        "pipe",
        "dup2",
        "kill",
        "waitpid",
        "getcwd",
    ]
)
OF_PATHS = frozenset(
    [
        "read_bytes",
        "read_text",
        "write_bytes",
        "write_text",
        "open",
        "mkdir",
        "unlink",
        "rmdir",
        "exists",
        "is_file",
        "is_dir",
        "samefile",
        "stat",
        "lstat",
        "iterdir",
        "touch",
        "rename",
        "replace",
        "resolve",
    ]
)
OTHERS = frozenset({"open", "mmap.mmap", "subprocess.run", "subprocess.Popen", "fcntl.flock", "shutil.rmtree"})
GUARDS = frozenset({"OSError", "Exception", "BaseException", "FileNotFoundError", "_FAULTS"})

# What hands the errors of the system on, for its caller to translate: `files` for all; the files of deloc8 itself, of
# which the net of `cli` says that the installation is broken; and what runs inside of a guard of its caller.
HANDED_ON = {
    "files.py": "its callers know what the file is",
    "paths.py": "deloc8's own files",
    "report/schema.py": "deloc8's own files",
    "report/to_html.py": "deloc8's own files",
    "repair/lowering/compat_library.py": "deloc8's own files",
    "repair/lowering/table.py": "deloc8's own files",
    "wheel/staging.py": "within `stage`, which translates all of the block",
    "wheel/writer.py": "within `stage`",
    "repair/strip.py": "within `stage`: beside the result",
    "workflow/repair.py": "within `stage`",
    "cli/output.py": "its callers, for all of it",
    "cli/progress.py": "what is drawn is lost",
    "cli/several.py": "the net of `cli`: pipes and processes of our own",
    "cli/signals.py": "the same",
    "audit/forest.py": "the callers of `_is_elf`; the path itself is in a guard",
}


def touches(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        module, _, last = name.rpartition(".")
        if (
            name in OTHERS
            or (module == "os" and last in OF_OS)
            or (module and module not in {"os", "ast", "re", "self", "sys"} and last in OF_PATHS and is_of_a_path(node))
        ):
            yield node, name


def is_of_a_path(call: ast.Call) -> bool:
    """Whether a method may be one of a path: `text.replace(a, b)`, `archive.open(name)` and the like are not."""
    function = call.func
    assert isinstance(function, ast.Attribute)
    texts = {"replace": 1, "resolve": 0, "stat": 0, "open": 1, "rename": 1}
    if function.attr in {"replace", "open", "rename", "resolve"}:
        owner = ast.unparse(function.value).lower()
        likely = ("path", "place", "file", "folder", "root")
        return len(call.args) <= texts[function.attr] and any(word in owner for word in likely)
    return True


def guarded(tree: ast.AST) -> set[int]:
    """The lines within a `try` that catches errors of the system, or a `with` that does."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try):
            caught = {part for handler in node.handlers for part in names(handler.type)}
            if caught & GUARDS:
                for statement in node.body:
                    lines.update(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
        elif isinstance(node, ast.With):
            makers = {ast.unparse(item.context_expr).partition("(")[0] for item in node.items}
            told = " ".join(ast.unparse(item.context_expr) for item in node.items)
            if "translated" in makers or ("suppress" in makers and ("OSError" in told or "_FAULTS" in told)):
                lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


def names(node: ast.expr | None) -> set[str]:
    if node is None:
        return {"BaseException"}
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def unguarded() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        lines = guarded(tree)
        calls = [f"{name}, line {node.lineno}" for node, name in touches(tree) if node.lineno not in lines]
        if calls:
            found[path.relative_to(SOURCE).as_posix()] = calls
    return found


def test_no_other_module_touches_the_outer_world_without_a_guard() -> None:
    found = unguarded()
    assert {module: calls for module, calls in found.items() if module not in HANDED_ON} == {}
    assert set(HANDED_ON) <= set(found), "these touch nothing any more: take them out of HANDED_ON"


def test_a_call_without_a_guard_would_be_noticed() -> None:
    for code in ("os.pread(1, 2, 3)", "path.read_bytes()", "open(x)", "folder.mkdir()", "place.open('rb')"):
        tree = ast.parse(f"def f():\n    {code}\n")
        assert list(touches(tree))
        assert not guarded(tree)
        assert guarded(ast.parse(f"try:\n    {code}\nexcept OSError:\n    pass\n")) == {2}
        assert guarded(ast.parse(f"with suppress(OSError):\n    {code}\n")) == {1, 2}
        assert not guarded(ast.parse(f"try:\n    {code}\nexcept ValueError:\n    pass\n"))
