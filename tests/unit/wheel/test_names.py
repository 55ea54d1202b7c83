from __future__ import annotations

import pytest

from deloc8.errors import WheelError
from deloc8.wheel.names import WheelName, normalize_name, parse_wheel_name


def test_the_parts_of_a_plain_name() -> None:
    name = parse_wheel_name("numpy-1.10.4-cp35-cp35m-linux_x86_64.whl")
    assert name == WheelName(
        distribution="numpy", version="1.10.4", pythons=("cp35",), abis=("cp35m",), platforms=("linux_x86_64",)
    )
    assert (name.build, name.variant) == ("", "")
    assert name.tags == ("cp35-cp35m-linux_x86_64",)


def test_compressed_tags_are_expanded_in_the_order_of_the_name() -> None:
    name = parse_wheel_name("six-1.0-py2.py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl")
    assert name.tags == (
        "py2-none-manylinux_2_17_x86_64",
        "py2-none-manylinux2014_x86_64",
        "py3-none-manylinux_2_17_x86_64",
        "py3-none-manylinux2014_x86_64",
    )


@pytest.mark.parametrize(
    ("filename", "build", "variant"),
    [
        ("a-1-py3-none-any.whl", "", ""),
        ("a-1-2build.x-py3-none-any.whl", "2build.x", ""),
        ("a-1-py3-none-linux_x86_64-cuda13.whl", "", "cuda13"),
        ("a-1-py3-none-linux_x86_64-13.whl", "", "13"),
        ("a-1-2-py3-none-linux_x86_64-x8664v3.whl", "2", "x8664v3"),
    ],
)
def test_build_and_variant_are_told_apart(filename: str, build: str, variant: str) -> None:
    name = parse_wheel_name(filename)
    assert (name.distribution, name.version, name.build, name.variant) == ("a", "1", build, variant)
    assert name.pythons == ("py3",)
    assert name.filename == filename


@pytest.mark.parametrize(
    ("filename", "part"),
    [
        ("numpy-1.0.tar.gz", ".whl"),
        ("numpy.whl", "1 parts"),
        ("numpy-1.0-py3-none.whl", "4 parts"),
        ("a-1-py3-none-any-x-y.whl", "7 parts"),
        ("a-1-2-py3-none-any-x-y.whl", "8 parts"),
        ("-1-py3-none-any.whl", "``"),
        ("a b-1-py3-none-any.whl", "`a b`"),
        ("a__b-1-py3-none-any.whl", "`a__b`"),
        ("a-one-py3-none-any.whl", "`one`"),
        ("a-1-2/x-py3-none-any.whl", "`2/x`"),
        ("a-1-py3..py2-none-any.whl", "``"),
        ("a-1-3py-none-any.whl", "`3py`"),
        ("a-1-py3-no ne-any.whl", "`no ne`"),
        ("a-1-py3-none-an~y.whl", "`an~y`"),
        ("a-1-py3-none-any-CUDA!.whl", "`CUDA!`"),
        ("a\x1b[31m-1-py3-none-any.whl", "`a\\x1b[31m`"),
    ],
)
def test_a_bad_name_says_which_part_is_wrong(filename: str, part: str) -> None:
    with pytest.raises(WheelError) as caught:
        parse_wheel_name(filename)
    assert caught.value.code == "bad-wheel-name"
    assert part in caught.value.context[0]
    assert caught.value.message.isprintable()


def test_normalized_names() -> None:  # the examples of PEP 503
    spellings = (
        "friendly-bard",
        "Friendly-Bard",
        "FRIENDLY-BARD",
        "friendly.bard",
        "friendly--bard",
        "FrIeNdLy-._.-bArD",
    )
    assert {normalize_name(name) for name in spellings} == {"friendly-bard"}
