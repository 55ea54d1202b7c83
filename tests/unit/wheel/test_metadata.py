from __future__ import annotations

import email
import tracemalloc
from time import process_time

import pytest

from deloc8.errors import WheelError
from deloc8.wheel.metadata import CoreMetadata, parse_core_metadata, parse_wheel_metadata, retag

MESON = b"Wheel-Version: 1.0\nGenerator: meson\nRoot-Is-Purelib: false\nTag: cp311-cp311-linux_x86_64"
SETUPTOOLS = (
    b"Wheel-Version: 1.0\nGenerator: setuptools (84.2.1)\nRoot-Is-Purelib: true\n"
    b"Tag: py2-none-any\nTag: py3-none-any\nBuild: 7\n\n"
)


@pytest.mark.parametrize(
    "text", [MESON, SETUPTOOLS, SETUPTOOLS.replace(b"\n", b"\r\n"), SETUPTOOLS.replace(b"\n", b"\r")]
)
def test_fields_are_those_that_email_finds(text: bytes) -> None:
    metadata = parse_wheel_metadata(text)
    oracle = email.message_from_bytes(text)
    assert list(metadata.fields) == oracle.items()
    assert metadata.generator == oracle["Generator"]
    assert list(metadata.tags) == oracle.get_all("Tag")
    assert metadata.root_is_purelib == (oracle["Root-Is-Purelib"] == "true")


def test_compressed_tags_are_expanded() -> None:
    metadata = parse_wheel_metadata(b"Wheel-Version: 1.0\ntag: py2.py3-none-linux_x86_64.any\n")
    assert metadata.tags == (
        "py2-none-linux_x86_64", "py2-none-any", "py3-none-linux_x86_64", "py3-none-any",
    )  # fmt: skip
    assert (metadata.generator, metadata.root_is_purelib) == ("", False)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"", "Wheel-Version is missing"),
        (b"\xff\xfe", "UTF-8"),
        (b"\n" + SETUPTOOLS, "`Wheel-Version: 1.0`"),
        (b"Wheel-Version: 1.0\nHello\x1b[0m\n", "`Hello\\x1b[0m`"),
        (b" continued\n" + SETUPTOOLS, "`continued`"),
        (SETUPTOOLS + b"Tag: py4-none-any\nroot-is-purelib: true\n", "`root-is-purelib: true`"),
        (SETUPTOOLS + b"Tag: py4-none-any\n\nTag: py5-none-any\n", "`Tag: py5-none-any`"),
        (b"Wheel-Version: 2.0\n", "Wheel-Version is 2.0"),
        (b"Wheel-Version: 1.0\nWheel-Version: 1.1\n", "1.0 and 1.1"),
        (b"Wheel-Version: 1.0\nTag: py3\n", "`py3`"),
        (b"Wheel-Version: 1.0\nTag: py3-none-any\n x\n", "tag that is none"),
        (b"Wheel-Version: 1.0\nRoot-Is-Purelib: maybe\n", "maybe"),
        (b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nRoot-Is-Purelib: false\n", "false and true"),
        (b"Wheel-Version: 1.0\nX: " + bytes(1 << 20) + b"\n", "the limit is"),
    ],
)
def test_a_bad_wheel_file_says_what_is_wrong(text: bytes, what: str) -> None:
    with pytest.raises(WheelError) as caught:
        parse_wheel_metadata(text)
    assert caught.value.code == "bad-wheel-metadata"
    assert what in caught.value.context[0]
    assert caught.value.context[0].isprintable()


def test_tags_behind_an_empty_line_count() -> None:
    """As scikit-build 0.17 wrote them: in ninja 1.11.1.1."""
    text = b"Wheel-Version: 1.0\r\nRoot-Is-Purelib: false\r\n\r\nTag: py2-none-any\r\nTag: py3-none-any\r\n"
    metadata = parse_wheel_metadata(text)
    assert metadata.tags == ("py2-none-any", "py3-none-any")
    assert retag(metadata, ["T-T-T"], platform_specific=False) == (
        b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: T-T-T\n"
    )


def test_a_tag_that_stands_for_millions_is_not_expanded() -> None:
    many = b".".join([b"x"] * 1000)
    tracemalloc.start()
    with pytest.raises(WheelError, match="WHEEL") as caught:
        parse_wheel_metadata(b"Wheel-Version: 1.0\nTag: " + many + b"-" + many + b"-" + many + b"\n")
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    assert "1000000000 tags" in caught.value.context[0]


NEW = ("cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-manylinux2014_x86_64")


def test_retag_changes_the_tags_and_nothing_else() -> None:
    assert retag(parse_wheel_metadata(MESON), NEW, platform_specific=True) == (
        b"Wheel-Version: 1.0\nGenerator: meson\nRoot-Is-Purelib: false\n"
        b"Tag: cp311-cp311-manylinux_2_17_x86_64\nTag: cp311-cp311-manylinux2014_x86_64\n"
    )


def test_retag_says_once_that_the_wheel_is_for_a_platform() -> None:
    assert retag(parse_wheel_metadata(SETUPTOOLS), NEW[:1], platform_specific=True) == (
        b"Wheel-Version: 1.0\nGenerator: setuptools (84.2.1)\nRoot-Is-Purelib: false\n"
        b"Tag: cp311-cp311-manylinux_2_17_x86_64\nBuild: 7\n"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"Wheel-Version: 1.0\n", b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: T-T-T\n"),
        (b"Wheel-Version: 1.0\nTag: a-b-c\nX: y\n", b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: T-T-T\nX: y\n"),
        (
            b"root-is-purelib: True\nWheel-Version: 1.0\nTag: a-b-c\nRoot-Is-Purelib: true\n",
            b"Root-Is-Purelib: false\nWheel-Version: 1.0\nTag: T-T-T\n",
        ),
        (
            b"Tag: a-b-c\nWheel-Version: 1.0\nX: long\n  value\ntag: d-e-f\nRoot-Is-Purelib: false\n",
            b"Tag: T-T-T\nWheel-Version: 1.0\nX: long\n  value\nRoot-Is-Purelib: false\n",
        ),
    ],
)
def test_retag_of_odd_files(before: bytes, after: bytes) -> None:
    assert retag(parse_wheel_metadata(before), ["T-T-T"], platform_specific=True) == after
    assert retag(parse_wheel_metadata(after), ["T-T-T"], platform_specific=True) == after


def test_retag_leaves_the_kind_of_a_pure_wheel() -> None:
    text = retag(parse_wheel_metadata(SETUPTOOLS), ["py3-none-any"], platform_specific=False)
    assert text.count(b"Root-Is-Purelib: true\n") == 1
    assert parse_wheel_metadata(text).tags == ("py3-none-any",)


CORE = (
    b"Metadata-Version: 2.4\nName: demo\nVersion: 1.0\nAuthor: J\xfcrgen\nLicense: long\n        text\n\n"
    b"# Demo\nName: x\n"
)


def test_core_metadata() -> None:
    assert parse_core_metadata(CORE) == CoreMetadata(metadata_version="2.4", name="demo", version="1.0")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        bytes(1000),
        b"\x89PNG\r\n\x1a\n",
        b"Name: demo\nVersion: 1.0\n",
        CORE.replace(b"\nName", b"\n\nName", 1),
        b"Name: x\n" + CORE,
    ],
)
def test_metadata_that_is_none(text: bytes) -> None:
    with pytest.raises(WheelError) as caught:
        parse_core_metadata(text)
    assert caught.value.code == "bad-metadata"
    assert caught.value.message == "The wheel's METADATA file is not sound"


def test_a_field_of_many_lines_takes_linear_time() -> None:
    lines = b"\n a" * 300_000
    start = process_time()
    core = parse_core_metadata(b"Metadata-Version: 2.1\nName: a" + b"\nVersion: 1\nSummary: x" + lines)
    assert core.name == "a"
    assert process_time() - start < 2
