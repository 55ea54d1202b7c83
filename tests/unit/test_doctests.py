from __future__ import annotations

import doctest
import inspect
from typing import TYPE_CHECKING

import pytest

import deloc8
from deloc8.workflow import audit, check, repair
from kit.bench import Bench
from kit.elf import GLIBC

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = {
    found.name: found
    for module in (audit, check, repair)
    for found in doctest.DocTestFinder().find(module, "workflow")
    if found.examples
}


def test_the_public_functions_have_examples() -> None:
    functions = (name for name in deloc8.__all__ if inspect.isfunction(getattr(deloc8, name)))
    assert set(EXAMPLES) == {f"workflow.{name}" for name in functions}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_gives_what_it_says(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench(tmp_path)
    bench.library("/usr/lib/libfoo.so.1", needed=(GLIBC,))
    example = EXAMPLES[name]
    example.globs = {public: getattr(deloc8, public) for public in deloc8.__all__}
    example.globs.update(
        wheel=bench.extension(needed=("libfoo.so.1", GLIBC)), root=bench.system.top, folder=tmp_path / "out"
    )
    result = doctest.DocTestRunner().run(example)
    assert (result.failed, result.attempted > 0) == (0, True), capsys.readouterr().out
