"""Paths as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from deloc8.paths import file_name, read_beside


@pytest.mark.parametrize("path", ["a.whl", "/x/a.whl", "x/../a.whl", "x/a.whl/", "x/a.whl//", "x/.a"])
def test_the_last_part_is_what_pathlib_says(path: str) -> None:
    assert file_name(path) == file_name(Path(path)) == Path(path).name


def test_a_file_beside_a_module_is_read(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_bytes(b"\xff\0")
    assert read_beside(str(tmp_path / "module.py"), "data", "a") == b"\xff\0"
