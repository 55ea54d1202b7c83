from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import deloc8
from kit.bench import Bench
from kit.elf import GLIBC

if TYPE_CHECKING:
    from collections.abc import Mapping


def imported_for_types() -> Mapping[str, str]:
    """What the top module imports for type checkers: the home of each name."""
    tree = ast.parse(Path(deloc8.__file__).read_text("utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    homes = {name.name: str(node.module) for node in imports for name in node.names}
    return {name: home for name, home in homes.items() if home.startswith("deloc8")}


def test_the_public_names_are_those_that_type_checkers_see() -> None:
    assert set(deloc8.__all__) == set(imported_for_types())
    assert len(deloc8.__all__) == len(set(deloc8.__all__))


@pytest.mark.parametrize("name", deloc8.__all__)
def test_a_public_name_is_the_one_of_its_home(name: str) -> None:
    home = importlib.import_module(imported_for_types()[name])
    value = getattr(deloc8, name)
    assert value is getattr(home, name)
    assert value.__module__ == home.__name__
    assert inspect.getdoc(value)


def test_other_names_are_unknown() -> None:
    with pytest.raises(AttributeError, match="module 'deloc8' has no attribute 'nonsense'"):
        _ = deloc8.nonsense
    assert not hasattr(deloc8, "_audit")


def test_names_are_loaded_when_they_are_first_used() -> None:
    code = (
        "import sys, deloc8; before = [name for name in sys.modules if name.startswith('deloc8.')]; "
        "deloc8.Goal; after = 'deloc8.repair.model' in sys.modules; print(before, after, 'zipfile' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[] True False\n"


def test_the_errors_are_one_family() -> None:
    errors = [name for name in deloc8.__all__ if name.endswith("Error")]
    assert all(issubclass(getattr(deloc8, name), deloc8.Deloc8Error) for name in errors)
    assert issubclass(deloc8.ElfError, deloc8.InputError)
    assert issubclass(deloc8.WheelError, deloc8.InputError)
    assert not issubclass(deloc8.UsageError, deloc8.InputError)
    assert issubclass(deloc8.SystemFault, deloc8.Deloc8Error)
    assert not issubclass(deloc8.SystemFault, deloc8.InputError)


def test_a_wheel_from_verdict_to_result(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.library("/usr/lib/libfoo.so.1", needed=(GLIBC,))
    wheel = bench.extension(needed=("libfoo.so.1", GLIBC))
    options = deloc8.AuditOptions(sysroot=bench.system.top)
    audit = deloc8.audit_wheel(wheel, options)
    assert isinstance(audit, deloc8.Audit)
    assert audit.best.policy.name == "linux"
    plan = deloc8.plan_repair(wheel, deloc8.Goal(), options)
    assert isinstance(plan, deloc8.Plan)
    outcome = deloc8.repair_wheel(wheel, tmp_path / "out", deloc8.Goal(), deloc8.WriteOptions(), options)
    assert isinstance(outcome, deloc8.Outcome)
    assert outcome.path.name == plan.target.filename
    assert deloc8.audit_wheel(outcome.path, options).best.policy.name == "manylinux_2_5"


def test_the_library_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(deloc8.WheelError):
        deloc8.audit_wheel(tmp_path / "none-1.0-py3-none-any.whl")
    assert capfd.readouterr() == ("", "")
