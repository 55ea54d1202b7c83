from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deloc8.errors import InputError
from deloc8.wheel.staging import stage

if TYPE_CHECKING:
    from pathlib import Path


def everything(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_committed_file_stands_in_its_place(tmp_path: Path) -> None:
    with stage(tmp_path / "a" / "b" / "file") as staged:
        staged.path.write_text("new")
        assert not staged.place.exists()
        assert staged.path.parent == staged.place.parent  # a rename never leaves the file system
        staged.commit()
    assert everything(tmp_path) == ["a", "a/b", "a/b/file"]
    assert (tmp_path / "a" / "b" / "file").read_text() == "new"


def test_without_a_commit_the_old_file_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with stage(tmp_path / "file") as staged:
        staged.path.write_text("new")
    assert everything(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_a_commit_replaces_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with stage(tmp_path / "file") as staged:
        staged.path.write_text("new")
        staged.commit()
    assert (tmp_path / "file").read_text() == "new"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interruption_leaves_neither_file_nor_folder(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(error), stage(tmp_path / "a" / "b" / "c" / "file") as staged:  # noqa: PT012  the block is the test
        staged.path.write_text("half")
        raise error
    assert everything(tmp_path) == ["a"]


def test_folders_that_others_use_meanwhile_stay(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), stage(tmp_path / "a" / "b" / "file") as staged:  # noqa: PT012  as above
        staged.path.with_name("other").touch()
        raise ValueError("stop")
    assert everything(tmp_path) == ["a", "a/b", "a/b/other"]


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught, stage(tmp_path / "a" / "file") as staged:  # noqa: PT012  as above
        staged.path.write_text("half")
        raise OSError(28, "No space left on device")
    assert caught.value.code == "unwritable-output"
    assert caught.value.context == ("No space left on device",)
    assert everything(tmp_path) == []


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(InputError) as caught, stage(tmp_path / "a" / "b" / "file"):
        pass
    assert caught.value.code == "unwritable-output"
    assert everything(tmp_path) == ["a"]


def test_two_stages_of_one_place_do_not_meet(tmp_path: Path) -> None:
    with stage(tmp_path / "file") as one, stage(tmp_path / "file") as other:
        one.path.write_text("one")
        other.path.write_text("other")
        other.commit()
        one.commit()
    assert everything(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "one"
