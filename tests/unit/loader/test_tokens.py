from __future__ import annotations

import pytest

from deloc8.loader.tokens import Tokens, expand, expand_for_musl, folder_of

TOKENS = Tokens(origin="/app/bin", lib="lib64", platform="x86_64")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("/usr/lib", "/usr/lib"),
        ("$ORIGIN", "/app/bin"),
        ("${ORIGIN}/../lib", "/app/bin/../lib"),
        ("$ORIGIN/$LIB/${PLATFORM}", "/app/bin/lib64/x86_64"),
        ("$ORIGIN-$ORIGIN", "/app/bin-/app/bin"),
        ("$ORIGINAL", "$ORIGINAL"),
        ("$ORIGIN_2", "$ORIGIN_2"),
        ("${ORIGIN}_2", "/app/bin_2"),
        ("${ORIGIN", "${ORIGIN"),
        ("$OTHER/$$LIB", "$OTHER/$lib64"),
        ("", ""),
    ],
)
def test_expand(entry: str, expected: str) -> None:
    assert expand(entry, TOKENS) == expected


@pytest.mark.parametrize("entry", ["$LIB", "/usr/${LIB}/x", "$ORIGIN/$PLATFORM"])
def test_a_token_that_stands_for_nothing(entry: str) -> None:
    assert expand(entry, Tokens(origin="/app")) is None


def test_a_backslash_in_a_folder_is_a_character() -> None:
    assert expand("$ORIGIN/x", Tokens(origin=r"/a\1")) == r"/a\1/x"
    assert expand_for_musl("$ORIGIN/x", r"/a\1") == r"/a\1/x"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a:/b", "/a:/b"),
        ("$ORIGIN/x:${ORIGIN}", "/app/x:/app"),
        ("$ORIGINAL", "/appAL"),  # musl does not look at what follows
        ("$ORIGIN:$LIB", None),
        ("/a:$", None),
    ],
)
def test_expand_for_musl(path: str, expected: str | None) -> None:
    assert expand_for_musl(path, "/app") == expected


@pytest.mark.parametrize(("path", "expected"), [("/a/b/c.so", "/a/b"), ("/c.so", "/"), ("/a/../c.so", "/a/..")])
def test_folder_of(path: str, expected: str) -> None:
    assert folder_of(path) == expected
