from __future__ import annotations

import pytest

from deloc8.repair.provenance.member_names import TakenNames, plain


def test_a_free_name_stays_as_it_is_and_is_taken_then() -> None:
    taken = TakenNames(["demo/a.py"])
    assert taken.claim("demo/b", ".py") == "demo/b.py"
    assert taken.claim("demo/b", ".py") == "demo/b-2.py"
    assert taken.claim("demo/b", ".py") == "demo/b-3.py"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["x/pkg/LICENSE"], "x/pkg-2/LICENSE"),
        (["X/Pkg/license"], "x/pkg-2/LICENSE"),
        (["x/PKG"], "x/pkg-2/LICENSE"),
        (["x/pkg/LICENSE/inside"], "x/pkg-2/LICENSE"),
        (["x/pkg", "x/pkg-2/license"], "x/pkg-3/LICENSE"),
        (["x/pkg/other"], "x/pkg/LICENSE"),
    ],
)
def test_a_name_meets_no_file_and_no_folder(names: list[str], expected: str) -> None:
    assert TakenNames(names).claim("x/pkg", "/LICENSE") == expected


def test_below_a_file_no_name_is_free() -> None:
    assert TakenNames(["x/licenses"]).claim("x/licenses/pkg", "/LICENSE") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [("libstdc++6", "libstdc++6"), ("a/b\\c:d", "a_b_c_d"), ("..", "_"), (".hidden", "hidden"), ("\u00fc\n", "__")],
)
def test_plain_names_hold_what_any_system_takes(name: str, expected: str) -> None:
    assert plain(name) == expected
