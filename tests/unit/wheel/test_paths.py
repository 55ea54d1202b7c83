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
        ("a" * 1024, None),
        ("a" * 1025, "is longer than 1024 bytes"),
        ("é" * 512, None),
        ("é" * 513, "is longer than 1024 bytes"),
        ("/".join("a" * 100), None),
        ("/".join("a" * 101), "has more than 100 parts"),
    ],
)
def test_paths_are_bounded(path: str, what: str | None) -> None:
    assert path_fault(path) == what


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
        ("a\udcff", "UTF-8"),
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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a/\u00e9.py", "a/e\u0301.py"),  # NFC and NFD, one file on macOS
        ("\u00e9/a.py", "e\u0301/a.py"),
        ("a/\u00c9.py", "a/e\u0301.py"),
        ("a/\u1e9b\u0323.py", "a/\u017f\u0323\u0307.py"),
        ("stra\u00dfe.py", "STRASSE.py"),  # full case folding, as of ext4
        ("\u212a.py", "k.py"),  # the sign of Kelvin
        ("a\u200db.py", "ab.py"),  # a joiner without a shape
        ("a.py.", "a.py"),  # as Windows drops them
        ("a.py ", "a.py"),
        ("a. ./b.py", "A/b.py"),
        ("a./b.py", "a/B.py"),
    ],
)
def test_paths_that_are_one_file_on_some_system(one: str, other: str) -> None:
    assert (collision([one, other], ()) or "")[0] == "case-conflict"
    assert (collision([f"{one}/below", other], ()) or "")[0] == "file-and-folder"
    assert (collision([one], [other]) or "")[0] == "file-and-folder"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\u00e9.py", "e.py"),
        ("\u00e9.py", "\u00e8.py"),
        ("a..py", "a.py"),
        ("stra\u00dfe.py", "strase.py"),
        ("\ufb01.py", "f.py"),
    ],
)
def test_paths_that_only_look_alike_are_two(one: str, other: str) -> None:
    assert collision([one, other], ()) is None


def test_names_that_look_the_same_are_told_as_what_they_are() -> None:
    assert collision(["\u00e9.py", "e\u0301.py"], ()) == (
        "case-conflict",
        r"holds `\xe9.py` and `e\u0301.py`, which are one file on some file systems",
    )


def test_of_several_collisions_always_the_same_one_is_told() -> None:
    files = [f"{letter}{suffix}" for letter in "zyxabc" for suffix in ("", "/x")]
    assert collision(files, ()) == ("file-and-folder", "has `a` as a file and as the folder of `a/x`")


def test_folders_are_counted_with_those_above_them() -> None:
    files = ["a/b/c/f", "a/b/d/f"]
    assert collision(files, (), 4) is None
    assert collision(files, (), 3) == ("too-many-members", "has more than 3 folders")
    assert collision((), ["a", "a/b"], 2) is None
    assert collision((), ["a", "a/b"], 1) == ("too-many-members", "has more than 1 folders")
