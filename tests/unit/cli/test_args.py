from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import pytest

from deloc8.cli.args import parse
from deloc8.cli.shared import audit_options
from deloc8.errors import UsageError

if TYPE_CHECKING:
    from argparse import Namespace
    from pathlib import Path


def options_of(*arguments: str, **environ: str) -> Namespace:
    return parse(arguments, environ)


def refusal(*arguments: str, **environ: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse(arguments, environ)
    assert caught.value.code == "bad-option"
    return caught.value


# -- the commands


def test_repair_is_another_name_of_fixup() -> None:
    assert options_of("repair", "a.whl").command == "fixup"
    assert options_of("fixup", "a.whl").command == "fixup"


def test_what_may_differ_is_asked_of_lowering_alone() -> None:
    assert options_of("fixup", "--lower-glibc", "--allow", "differs", "a.whl").allow == ["differs"]
    assert options_of("fixup", "--lower-glibc", "a.whl").allow == []
    assert "--lower-glibc" in refusal("fixup", "--allow", "differs", "a.whl").message
    assert "differs" in refusal("fixup", "--lower-glibc", "--allow", "everything", "a.whl").message


def test_defaults() -> None:
    show = options_of("show", "a.whl", "b.whl")
    assert show.wheels == ["a.whl", "b.whl"]
    assert (show.format, show.output, show.color, show.quiet, show.verbose) == ("text", None, "auto", False, 0)
    assert (show.sysroot, show.ldpaths, show.add_path, show.ld_library_path) == ("/", None, (), ())
    assert show.jobs == (os.cpu_count() or 1)
    fixup = options_of("fixup", "a.whl")
    assert (fixup.wheel_dir, fixup.plat, fixup.plat_source, fixup.lib_sdir) == (
        "wheelhouse",
        "auto",
        None,
        ".libs",
    )
    assert (fixup.zip_compression_level, fixup.source_date_epoch, fixup.strip) == (None, None, None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["shew", "a.whl"], "shew"),
        (["show"], "WHEEL"),
        (["show", "a.whl", "--format", "yaml"], "yaml"),
        (["show", "a.whl", "--nonsense"], "--nonsense"),
        (["show", "a.whl", "--plat", "x"], "--plat"),
        (["policies", "--libc", "newlib"], "newlib"),
    ],
)
def test_a_wrong_command_line_is_one_error_that_names_what_is_wrong(arguments: list[str], said: str) -> None:
    error = refusal(*arguments)
    assert said in error.message
    assert "--help`" in error.hints[0]


@pytest.mark.parametrize(
    ("arguments", "level"),
    [
        (["--strip", "a.whl"], "all"),
        (["--strip", "debug", "a.whl"], "debug"),
        (["--strip", "all", "a.whl"], "all"),
        (["--strip=debug", "a.whl"], "debug"),
        (["a.whl", "--strip"], "all"),
    ],
)
def test_a_bare_strip_takes_no_wheel_for_its_level(arguments: list[str], level: str) -> None:
    options = options_of("fixup", *arguments)
    assert (options.strip, options.wheels) == (level, ["a.whl"])


# -- numbers


@pytest.mark.parametrize("text", ["0", "-1", "x", "", "1.5", "10000", "9" * 5000, "\N{ARABIC-INDIC DIGIT FIVE}"])
def test_a_wrong_number_of_threads(text: str) -> None:
    assert "is not a number from 1 to 9999" in refusal("show", "a.whl", f"-j={text}" if text else "--jobs=").message


def test_a_number_of_threads() -> None:
    assert options_of("show", "a.whl", "-j", "9999").jobs == 9999


@pytest.mark.parametrize("text", ["0", "-1", "1e9", "1G", "", str(2**50 + 1), "1" * 5000])
def test_a_size_is_a_number_of_bytes(text: str) -> None:
    assert "is not a number of bytes from 1 to" in refusal("show", "a.whl", f"--max-unpacked={text}").message
    assert options_of("show", "a.whl", "--max-unpacked", "1").max_unpacked == 1


class Number(NamedTuple):
    option: str
    variable: str
    name: str
    highest: int


NUMBERS = [
    Number("-z", "AUDITWHEEL_ZIP_COMPRESSION_LEVEL", "zip_compression_level", 9),
    Number("--source-date-epoch", "SOURCE_DATE_EPOCH", "source_date_epoch", 4354819199),
]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_is_an_option_or_a_variable(number: Number) -> None:
    def value(*arguments: str, **environ: str) -> object:
        return getattr(options_of("fixup", "a.whl", *arguments, **environ), number.name)

    high = str(number.highest)
    assert value(number.option, high) == number.highest
    assert value(**{number.variable: high}) == number.highest
    assert value(number.option, "0", **{number.variable: high}) == 0
    assert value(**{number.variable: ""}) == value()


WRONG_NUMBERS = ["x", "-1", "1e3", "4354819200", str(2**63 - 1), "9223372036854775808", "9" * 5000]
WRONG_NUMBERS += [
    " ",
    " 1",
    "1 ",
    "+1",
    "1.0",
    "0x1",
    "1_0",
    "\N{ARABIC-INDIC DIGIT FIVE}",
    "\N{SUPERSCRIPT TWO}",
    "now",
]


@pytest.mark.parametrize("text", WRONG_NUMBERS)
@pytest.mark.parametrize("number", NUMBERS)
def test_a_wrong_number_names_its_source_and_only_for_the_command_that_uses_it(number: Number, text: str) -> None:
    environ = {number.variable: text}
    message = f"is `{text}`, not a number from 0 to {number.highest}"
    assert refusal("fixup", "a.whl", **environ).message == f"{number.variable} {message}"
    assert refusal("fixup", "a.whl", f"{number.option}={text}").message.startswith(number.option)
    assert options_of("show", "a.whl", **environ).command == "show"
    assert options_of("policies", **environ).command == "policies"
    # An option that is given makes the variable unimportant.
    assert options_of("fixup", "a.whl", number.option, "1", **environ).command == "fixup"


def test_an_empty_option_is_no_number() -> None:
    assert refusal("fixup", "a.whl", "-z", "").message == "-z is ``, not a number from 0 to 9"


# -- the tag to reach


def test_the_tag_comes_from_the_option_then_from_our_variable_then_from_auditwheels() -> None:
    both = {"DELOC8_PLAT": "ours", "AUDITWHEEL_PLAT": "theirs"}
    option = options_of("fixup", "a.whl", "--plat", "given", **both)
    assert (option.plat, option.plat_source) == ("given", None)
    ours = options_of("fixup", "a.whl", **both)
    assert (ours.plat, ours.plat_source) == ("ours", "DELOC8_PLAT")
    theirs = options_of("fixup", "a.whl", DELOC8_PLAT="", AUDITWHEEL_PLAT="theirs")
    assert (theirs.plat, theirs.plat_source) == ("theirs", "AUDITWHEEL_PLAT")
    none = options_of("fixup", "a.whl", AUDITWHEEL_PLAT="")
    assert (none.plat, none.plat_source) == ("auto", None)


# -- folders


def test_folders_are_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    options = options_of(
        "show", "a.whl", "--add-path", "x", "--add-path", "/y/../z", "--ldpaths", "a:/b", "--ld-library-path", "c:"
    )
    assert options.add_path == (f"{tmp_path}/x", "/z")
    assert options.ldpaths == (f"{tmp_path}/a", "/b")
    assert options.ld_library_path == (f"{tmp_path}/c", str(tmp_path))


@pytest.mark.parametrize("variable", ["LD_LIBRARY_PATH", "AUDITWHEEL_LD_LIBRARY_PATH"])
@pytest.mark.parametrize(
    ("text", "folders"),
    [
        ("/sys;/other", ("/sys", "/other")),
        ("/a:/b;/c", ("/a", "/b", "/c")),
        (":", ("", "")),
        (";", ("", "")),
        ("/x:", ("/x", "")),
        (";/x", ("", "/x")),
        ("/x::/y", ("/x", "", "/y")),
        ("lib:.", ("/lib", "")),
        ("/link/../x", ("/link/../x",)),
        ("", ()),
    ],
)
def test_the_variable_is_split_as_ld_so_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, text: str, folders: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = {"": str(tmp_path), "/lib": f"{tmp_path}/lib"}
    expected = tuple(relative.get(folder, folder) for folder in folders)
    options = options_of("show", "a.whl", **{variable: text})
    paths = {"LD_LIBRARY_PATH": options.environment_path, "AUDITWHEEL_LD_LIBRARY_PATH": options.ld_library_path}
    assert paths.pop(variable) == expected
    assert set(paths.values()) == {()}


def searched(*words: str, **environ: str) -> tuple[str, ...]:
    """All folders that are searched as LD_LIBRARY_PATH is, in their order."""
    options = options_of(*words, "a.whl", **environ)
    return audit_options(options).search.loader_path


def test_auditwheels_variable_is_searched_before_the_loaders() -> None:
    environ = {"LD_LIBRARY_PATH": "/l1:/l2", "AUDITWHEEL_LD_LIBRARY_PATH": "/a"}
    assert searched("show", **environ) == ("/a", "/l1", "/l2")
    assert searched("fixup", **environ) == ("/a", "/l1", "/l2")
    assert searched("show", LD_LIBRARY_PATH="/l", AUDITWHEEL_LD_LIBRARY_PATH="") == ("/l",)


def test_the_option_stands_in_for_both_variables() -> None:
    environ = {"LD_LIBRARY_PATH": "/l", "AUDITWHEEL_LD_LIBRARY_PATH": "/a"}
    assert searched("show", "--ld-library-path", "/o", **environ) == ("/o",)
    assert searched("show", "--ld-library-path", "", **environ) == ()


def test_ldpaths_replace_all_but_auditwheels_variable() -> None:
    environ = {"LD_LIBRARY_PATH": "/l", "AUDITWHEEL_LD_LIBRARY_PATH": "/a"}
    options = options_of("show", "a.whl", "--ldpaths", "", **environ)
    assert (options.ldpaths, options.ld_library_path, options.environment_path) == ((), ("/a",), ())


def test_the_variables_say_nothing_of_another_root(tmp_path: Path) -> None:
    environ = {"LD_LIBRARY_PATH": "/l", "AUDITWHEEL_LD_LIBRARY_PATH": "/a"}
    options = options_of("show", "a.whl", "--sysroot", str(tmp_path), **environ)
    assert (options.sysroot, options.ld_library_path, options.environment_path) == (str(tmp_path), (), ())


def test_folders_in_the_root_are_seen_from_inside(tmp_path: Path) -> None:
    inside, outside = tmp_path / "system/opt/lib", tmp_path / "systems/lib"
    (tmp_path / "system").mkdir()
    places = ("--sysroot", f"{tmp_path}/system/../system", "--add-path", str(inside), "--add-path", str(outside))
    libraries = ("--include", str(inside / "liba.so"), "--include", "libb.so")
    options = options_of("fixup", "a.whl", *places, *libraries)
    assert options.add_path == ("/opt/lib", str(outside))
    assert options.include == ["/opt/lib/liba.so", "libb.so"]


def test_a_root_that_is_no_folder(tmp_path: Path) -> None:
    place = tmp_path / "nowhere"
    assert refusal("show", "a.whl", "--sysroot", str(place)).message == f"--sysroot is `{place}`, which is no folder"
