from __future__ import annotations

import pytest

from deloc8.wheel.paths import collision, path_fault


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "a/b/c.py",
        ".libs/x",
        "a/.hidden",
        "a/..b",
        "a/...",
        "a/b:c",
        "ab:c",
        "with space/é",
        "a\u00a0b",
        "~/x",
        "a/b..py",
    ],
)
def test_harmless_paths(path: str) -> None:
    assert path_fault(path) is None


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/a", "absolute"),
        ("//a", "absolute"),
        ("..", "climbs"),
        ("../a", "climbs"),
        ("a/../b", "climbs"),
        ("a/..", "climbs"),
        (".", "`.`"),
        ("./a", "`.`"),
        ("a/./b", "`.`"),
        ("a/.", "`.`"),
        ("", "empty"),
        ("a//b", "empty"),
        ("a/", "empty"),
        ("a\\b", "backslash"),
        ("..\\a", "backslash"),
        ("C:", "drive"),
        ("c:/a", "drive"),
        ("c:a", "drive"),
        ("a\0b", "control"),
        ("a\x7f", "control"),
        ("a\x85", "control"),
        ("a\n", "control"),
        ("a\u2028b", "control"),
    ],
)
def test_harmful_paths(path: str, what: str) -> None:
    fault = path_fault(path)
    assert fault is not None
    assert what in fault


@pytest.mark.parametrize(
    ("files", "folders", "code"),
    [
        (["a/b", "a/c", "ab"], ["a"], None),
        (["a/b", "A/c"], ["a", "A"], None),
        (["a", "a"], [], "duplicate-member"),
        (["a/b", "A/B"], [], "case-conflict"),
        (["a", "a/b"], [], "file-and-folder"),
        (["a/b", "a"], [], "file-and-folder"),
        (["a/b/c", "A"], [], "file-and-folder"),
        (["a"], ["a"], "file-and-folder"),
        (["a/b"], ["a/b/c"], "file-and-folder"),
        ([], ["a", "a"], "duplicate-member"),
    ],
)
def test_collisions(files: list[str], folders: list[str], code: str | None) -> None:
    found = collision(files, folders)
    assert (found and found[0]) == code


def test_of_several_collisions_always_the_same_one_is_told() -> None:
    files = [f"{letter}{suffix}" for letter in "zyxabc" for suffix in ("", "/x")]
    assert collision(files, ()) == ("file-and-folder", "has `a` as a file and as the folder of `a/x`")
