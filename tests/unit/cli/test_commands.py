from __future__ import annotations

import json
import os
import platform
import shlex
import struct
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deloc8.cli.commands import find_arch
from deloc8.cli.shared import exit_code
from deloc8.errors import ElfError, SystemFault, UnrepairableError, UsageError, VerificationError
from deloc8.target import Arch
from kit.command import Command, program
from kit.elf import GLIBC, MACHINES, ElfSpec, NoteSpec, Undefined, build_elf
from kit.patch import patch_section
from kit.scene import CORE, Scene, wants
from kit.wheels import build_wheel
from kit.zips import Entry, raw_zip, wheel_entries

if TYPE_CHECKING:
    from collections.abc import Sequence

WHEEL = "demo-1.0-cp311-cp311-linux_x86_64.whl"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A system with libfoo.so.1, which no policy allows."""
    scene = Scene(tmp_path)
    scene.system.library("/usr/lib/libfoo.so.1", ElfSpec(soname="libfoo.so.1", needed=(GLIBC,)))
    return scene


@pytest.fixture
def wheel(scene: Scene) -> Path:
    """A wheel that needs it."""
    return scene.wheel({CORE: wants("GLIBC_2.14", needed=("libfoo.so.1",))})


def where(scene: Scene) -> tuple[str, str]:
    return "--sysroot", str(scene.root)


# -- show


def test_show_tells_a_wheel(command: Command, scene: Scene, wheel: Path) -> None:
    code, out, err = command("show", wheel, *where(scene))
    assert (code, err) == (0, "")
    assert out.startswith(f"\n{WHEEL} is consistent with the following\nplatform tag: ")
    assert '    "libfoo.so.1": "/usr/lib/libfoo.so.1"\n' in out
    assert '\n\n`deloc8 fixup` can reach the platform tag "manylinux_2_17_x86_64".\n\nAs `deloc8 fixup` makes it' in out
    assert out.endswith("\n  Amazon Linux 1 (2018.03) and newer\n")


def test_show_ends_with_1_where_the_wheels_own_tag_is_a_lie(command: Command, scene: Scene) -> None:
    """Line of the peers: show exited with 0 when the wheel's own tag is a lie (#180)."""
    wheel = scene.wheel({CORE: wants("GLIBC_2.27")}, tags=("cp311-cp311-manylinux_2_17_x86_64",))
    code, out, _ = command("show", wheel, *where(scene))
    assert code == 1
    assert 'The wheel claims the platform tag "manylinux_2_17_x86_64"' in out
    (shown,) = command("show", wheel, *where(scene), "--format", "json").json["wheels"]
    assert shown["claimed_tags"][0]["truth"] == "false"


def test_show_refuses_a_pure_wheel_unless_it_is_allowed(command: Command, scene: Scene) -> None:
    wheel = scene.wheel({"demo/a.py": b"pass\n"}, tags=("py3-none-any",))
    code, out, err = command("show", wheel)
    assert (code, out) == (1, "")
    assert err == (
        "error: demo-1.0-py3-none-any.whl has no compiled files: there is nothing to show [pure-wheel]\n\n"
        "hint: to accept such wheels, pass --allow-pure-python-wheel\n"
    )
    code, out, err = command("show", wheel, "--allow-pure-python-wheel")
    assert (code, err) == (0, "")
    assert "has no compiled files" in out


def test_show_wants_more_with_v_and_the_trace_of_the_loader_with_vv(command: Command, scene: Scene) -> None:
    core = replace(wants("GLIBC_2.27", needed=("libno.so",)), rpath="relative")
    wheel = scene.wheel({f"demo/m{number}.so": core for number in range(5)})
    short = command("show", wheel, *where(scene))
    long = command("show", wheel, *where(scene), "-v")
    assert "and 2 more files" in short.out
    assert "more files" not in long.out
    assert short.err == long.err == ""
    trace = command("show", wheel, *where(scene), "-vv")
    assert trace.out == long.out
    assert "demo/m0.so needs libc.so.6: /usr/lib/libc.so.6\n" in trace.err
    assert "demo/m0.so needs libno.so: not found\n" in trace.err
    assert "\n    default folders: /usr/lib/libno.so: missing\n" in trace.err
    assert "demo/m0.so: relative: not searched (it means the current folder" in trace.err


def test_several_wheels_one_of_them_broken(command: Command, scene: Scene, wheel: Path) -> None:
    broken = scene.folder / "broken-1.0-py3-none-any.whl"
    broken.write_bytes(b"no zip")
    code, out, err = command("show", broken, wheel, scene.folder / "none-1.0-py3-none-any.whl", *where(scene))
    assert code == 1
    assert out.count("is consistent with") == 1
    assert [line.split(" ")[0] for line in err.splitlines() if line.startswith("error")] == ["error:", "error:"]
    assert err.endswith("2 of 3 wheels failed\n")
    shown = command("show", broken, wheel, *where(scene), "--format", "json").json
    assert [list(value)[:2] for value in shown["wheels"]] == [["wheel", "error"], ["wheel", "pure"]]
    assert shown["wheels"][0]["wheel"] == broken.name


def test_one_wheel_that_fails_needs_no_sum(command: Command, tmp_path: Path) -> None:
    assert "wheels failed" not in command("show", tmp_path / "none-1.0-py3-none-any.whl").err


@pytest.mark.parametrize("count", [1, 2])
def test_unsound_elf_members_are_one_error(command: Command, scene: Scene, count: int) -> None:
    """Line of the peers: a truncated ELF file gave a traceback."""
    broken = build_elf(wants("GLIBC_2.5"))[:150]
    wheel = scene.wheel({CORE: wants("GLIBC_2.5"), **{f"demo/m{number}.abi3.so": broken for number in range(count)}})
    code, out, err = command("show", wheel, *where(scene))
    assert (code, out) == (1, "")
    assert err.count("error:") == 1
    assert all(f"demo/m{number}.abi3.so" in err for number in range(count))


def test_misplaced_and_unknown_files_are_one_error_each(command: Command, scene: Scene) -> None:
    misplaced = scene.wheel({"demo-1.0.data/purelib/a.so": wants("GLIBC_2.5")})
    assert "[elf-in-purelib]" in command("show", misplaced).err
    unknown = scene.wheel({CORE: MACHINES["s390"]}, name="unknown")
    assert command("show", unknown).code == 1
    assert "[unknown-machine]" in command("show", unknown).err


@pytest.mark.parametrize("record", ["missing", b"", b"\xff\xfe,,\n", b'"unclosed\n'])
def test_a_missing_or_odd_record_is_no_traceback(command: Command, scene: Scene, record: bytes | str) -> None:
    """Line of the peers: a missing or odd RECORD gave a traceback."""
    wheel = build_wheel(scene.folder, {CORE: build_elf(wants("GLIBC_2.5"))}, record=record)  # type: ignore[arg-type]
    code, _, err = command("show", wheel, *where(scene))
    assert (code, err.count("error:")) == ((1, 1) if record == "missing" else (0, 0))


def test_how_much_a_wheel_may_unpack_to(command: Command, scene: Scene, wheel: Path) -> None:
    root = ("--sysroot", scene.root)
    assert command("show", wheel, *root, "--max-unpacked", "1000000").code == 0
    for name in ("show", "fixup", "check"):
        done = command(name, wheel, *root, "--max-unpacked", "10")
        assert done.code == 1
        assert "[compression-bomb]" in done.err + done.out
    assert "[compression-bomb]" in command("tree", wheel, "--sysroot", scene.root, "--max-unpacked", "10").err
    bomb = scene.folder / "bomb-1.0-py3-none-any.whl"
    entries = [Entry(name=name, stream=bytes(1_100_000), both={"size": 1 << 30}) for name in (b"one", b"two")]
    bomb.write_bytes(raw_zip(wheel_entries(*entries, folder="bomb-1.0.dist-info")))
    assert "--max-unpacked" in command("show", bomb).err
    # As large as it likes to be: now its contents are looked at, and are not what it says.
    assert "[bad-member-data]" in command("show", bomb, "--max-unpacked", str(1 << 32)).err


def test_hostile_names_do_not_reach_the_terminal(command: Command, scene: Scene) -> None:
    name = "lib\nerror: all is well\x1b[2J.so"
    core = ElfSpec(needed=(name, GLIBC), undefined=(Undefined("a\rb", "GLIBC_2.\x9b", GLIBC),))
    wheel = scene.wheel({CORE: core})
    for arguments in (("show", "-vv"), ("fixup", "--dry-run"), ("tree",)):
        _, out, err = command(*arguments, wheel, *where(scene))
        assert not any(line.startswith("error: all is well") for line in (out + err).split("\n"))
        assert not {"\x1b", "\r", "\x9b"} & set(out + err)
        assert r"\nerror: all is well\x1b[2J.so" in out + err
    (shown,) = command("show", wheel, *where(scene), "--format", "json").json["wheels"]
    assert name in shown["external_libraries"]


@pytest.mark.parametrize("version", ["GLIBC_2.99999999", "GLIBC_2." + "9" * 5000])
def test_hostile_versions_are_told(command: Command, scene: Scene, version: str) -> None:
    wheel = scene.wheel({CORE: wants(version)})
    for arguments, code in ((("show",), 0), (("show", "--format", "json"), 0), (("fixup", "--dry-run"), 1)):
        result = command(*arguments, wheel, *where(scene))
        assert result.code == code
        assert version in result.out + result.err


# -- what counts


def test_a_processor_level_is_accepted_on_request(command: Command, scene: Scene) -> None:
    note = NoteSpec("GNU", 5, struct.pack("<IIII", 0xC0008002, 4, 4, 0))
    wheel = scene.wheel({CORE: replace(wants("GLIBC_2.17"), notes=(note,))})
    assert best(command, wheel, *where(scene)) == "linux_x86_64"
    assert best(command, wheel, *where(scene), "--disable-isa-ext-check") == "manylinux_2_17_x86_64"


def best(command: Command, wheel: Path, *arguments: str) -> str:
    (shown,) = command("show", wheel, "--format", "json", *arguments).json["wheels"]
    tag: str = shown["overall_tag"]
    return tag


@pytest.mark.parametrize("glob", ["libfoo.so.1", "/usr/lib/libfoo*"])
def test_excluded_libraries(command: Command, scene: Scene, wheel: Path, glob: str) -> None:
    assert best(command, wheel, *where(scene), "--exclude", glob) == "manylinux_2_17_x86_64"
    told = command("show", wheel, *where(scene), "--exclude", glob, "--exclude", "libfou*").out
    assert " ".join(told.split()).count("--exclude matched no library that the wheel needs") == 1
    assert "libfou*:" in told


def test_grafts_on_request(command: Command, scene: Scene, wheel: Path) -> None:
    scene.system.library("/usr/lib/libz.so.1", ElfSpec(soname="libz.so.1"))
    wheel = scene.wheel({CORE: wants("GLIBC_2.14", needed=("libz.so.1",))})
    grafts = command("fixup", wheel, "--dry-run", "--graft", "libz*", *where(scene))
    assert "Would graft: /usr/lib/libz.so.1\n" in grafts.out
    assert "Would graft" not in command("fixup", wheel, "--dry-run", *where(scene)).out


def policy_file(path: Path, **changes: object) -> Path:
    policy = {"name": "mine", "symbol_versions": {"GLIBC": "2.14"}, "lib_whitelist": [GLIBC, "libfoo.so.1"], **changes}
    path.write_text(json.dumps({key: value for key, value in policy.items() if value is not None}))
    return path


def test_a_policy_of_the_user(command: Command, scene: Scene, wheel: Path) -> None:
    mine = policy_file(scene.folder / "mine.json")
    (shown,) = command("show", wheel, *where(scene), "--policy", str(mine), "--format", "json").json["wheels"]
    assert [policy["satisfied"] for policy in shown["policies"] if policy["name"] == "mine_x86_64"] == [True]
    assert shown["overall_tag"] == "linux_x86_64"
    tagged = policy_file(scene.folder / "tagged.json", tag="manylinux_2_14")
    assert best(command, wheel, *where(scene), "--policy", str(tagged)) == "manylinux_2_14_x86_64"


def test_a_broken_policy_of_the_user_names_the_key(command: Command, scene: Scene, wheel: Path) -> None:
    broken = policy_file(scene.folder / "broken.json", lib_whitelist=None)
    code, out, err = command("show", wheel, *where(scene), "--policy", str(broken))
    assert (code, out) == (1, "")
    assert "broken.json" in err
    assert "lib_whitelist" in err
    missing = command("show", wheel, *where(scene), "--policy", str(scene.folder / "none.json"))
    assert missing.code == 1
    assert "none.json cannot be read [unreadable-policy]\n  No such file or directory\n" in missing.err


# -- where libraries are looked for


@pytest.fixture
def places(scene: Scene) -> Scene:
    """libfoo.so.1 in a folder that only options lead to, beside the one of the system."""
    for folder in ("one", "two", "three"):
        (scene.folder / folder).mkdir()
        (scene.folder / folder / "libfoo.so.1").write_bytes(build_elf(soname="libfoo.so.1", needed=(GLIBC,)))
    return scene


def found(command: Command, wheel: Path, *arguments: str) -> object:
    (shown,) = command("show", wheel, "--format", "json", *arguments).json["wheels"]
    return shown["external_libraries"]["libfoo.so.1"]


def test_a_sysroot_with_its_own_configuration(command: Command, scene: Scene) -> None:
    scene.system.write("/etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n")
    scene.system.write("/etc/ld.so.conf.d/opt.conf", "/opt/lib\n")
    scene.system.library("/opt/lib/libopt.so", ElfSpec(soname="libopt.so"))
    wheel = scene.wheel({CORE: ElfSpec(needed=("libopt.so", GLIBC))})
    (shown,) = command("show", wheel, "--format", "json", *where(scene)).json["wheels"]
    assert shown["external_libraries"]["libopt.so"] == "/opt/lib/libopt.so"


def test_the_order_of_search_folders(
    command: Command, places: Scene, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = (str(places.folder / name) for name in ("one", "two", "three"))
    assert found(command, wheel) is None
    monkeypatch.setenv("LD_LIBRARY_PATH", two)
    assert found(command, wheel) == f"{two}/libfoo.so.1"
    monkeypatch.setenv("AUDITWHEEL_LD_LIBRARY_PATH", three)
    assert found(command, wheel) == f"{three}/libfoo.so.1"
    assert found(command, wheel, "--ld-library-path", one) == f"{one}/libfoo.so.1"
    assert found(command, wheel, "--add-path", one) == f"{one}/libfoo.so.1"
    assert found(command, wheel, "--ldpaths", one) == f"{three}/libfoo.so.1"  # as auditwheel does
    monkeypatch.delenv("AUDITWHEEL_LD_LIBRARY_PATH")
    assert found(command, wheel, "--ldpaths", one) == f"{one}/libfoo.so.1"
    assert found(command, wheel, "--ldpaths", "") is None


# -- the output


def test_json_is_stable(command: Command, scene: Scene) -> None:
    scene.system.library("/usr/lib/libbar.so", ElfSpec(soname="libbar.so", needed=("libfoo.so.1",)))
    needed = ("libbar.so", "libno.so")
    wheel = scene.wheel({f"demo/m{n}.so": wants(f"GLIBC_2.{n + 3}", "GLIBC_2.5", needed=needed) for n in range(9)})
    one = command("show", wheel, *where(scene), "--format", "json", "-j", "1")
    again = command("show", wheel, *where(scene), "--format", "json", "-j", "1")
    many = command("show", wheel, *where(scene), "--format", "json", "-j", "4")
    assert one == again == many
    assert one.json["schema"] == 1
    assert one.out.isascii()


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_output_goes_to_a_file(command: Command, scene: Scene, wheel: Path, form: str) -> None:
    file = scene.folder / "report"
    direct = command("show", wheel, *where(scene), "--format", form)
    assert command("show", wheel, *where(scene), "--format", form, "-o", file) == (0, "", "")
    assert file.read_text("utf-8") == direct.out
    plan = command("fixup", wheel, *where(scene), "--dry-run", "--format", form)
    assert command("fixup", wheel, *where(scene), "--dry-run", "--format", form, "-o", file) == (0, "", "")
    assert file.read_text("utf-8") == plan.out


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("arguments", [["show"], ["tree"], ["fixup", "--dry-run"], ["policies"]])
def test_an_output_that_cannot_be_written_is_one_error(
    command: Command, scene: Scene, wheel: Path, form: str, arguments: Sequence[str]
) -> None:
    wheels: list[str | Path] = [] if arguments == ["policies"] else [wheel, *where(scene)]
    place = scene.folder / "none/report"
    code, out, err = command(*arguments, *wheels, "--format", form, "-o", place)
    assert (code, out) == (2, "")
    assert err == (
        f"error: `{place}` cannot be written [unwritable-output]\n  No such file or directory (ENOENT)\n\n"
        "hint: name another file with -o\n"
    )


def test_an_error_before_the_work_is_json_too_and_told_once(command: Command, scene: Scene) -> None:
    code, out, err = command("policies", "manylinux9", "--arch", "x86_64", "--format", "json")
    assert code == 2
    assert json.loads(out)["error"]["code"] == "unknown-platform"
    assert json.loads(out)["command"] == "policies"
    assert err.count("error:") == 1
    # Where it cannot be written, that is told first.
    place = scene.folder / "none/report"
    code, out, err = command("policies", "manylinux9", "--arch", "x86_64", "--format", "json", "-o", place)
    assert (code, out) == (2, "")
    assert ["[unknown-platform]" in err, "[unwritable-output]" in err] == [False, True]


# -- fixup


def test_a_dry_run_writes_nothing(command: Command, scene: Scene, wheel: Path) -> None:
    code, out, err = command("fixup", wheel, *where(scene), "--dry-run", "-w", scene.folder / "out")
    assert (code, err) == (0, "")
    assert out.startswith("Would graft: /usr/lib/libfoo.so.1\n")
    assert "\nWould write: " in out
    assert not (scene.folder / "out").exists()


def test_a_repair_tells_each_wheel_at_once_and_the_sum(command: Command, scene: Scene, wheel: Path) -> None:
    bad = scene.wheel({CORE: wants("GLIBC_PRIVATE")}, name="bad")
    code, out, err = command("repair", bad, wheel, *where(scene), "-w", scene.folder / "out")
    assert code == 1
    assert out.startswith("Grafting: /usr/lib/libfoo.so.1\nSetting RPATH: demo/_core.so\n\nFixed-up wheel written to ")
    assert out.endswith("\nDone!\n")
    assert err.endswith("1 of 2 wheels failed\n")
    (written,) = (scene.folder / "out").iterdir()
    assert written.name.startswith("demo-1.0-cp311-cp311-manylinux")


def test_a_quiet_repair_says_nothing(command: Command, scene: Scene, wheel: Path) -> None:
    assert command("fixup", wheel, *where(scene), "-w", scene.folder / "out", "-q") == (0, "", "")
    assert list((scene.folder / "out").iterdir())


def test_a_repair_in_json(command: Command, scene: Scene, wheel: Path) -> None:
    result = command("fixup", wheel, *where(scene), "-w", scene.folder / "out", "--format", "json")
    (value,) = result.json["wheels"]
    assert result.json["command"] == "fixup"
    assert Path(value["output"]).is_file()
    assert value["proven"]


def test_warnings_are_told_and_notes_only_on_request(command: Command, scene: Scene) -> None:
    core = wants("GLIBC_2.14", needed=("libGL.so.1", "libpython3.11.so.1.0"))
    wheel = scene.wheel({CORE: core})
    short = command("fixup", wheel, *where(scene), "--dry-run").err
    assert short.startswith("warning: libGL.so.1: the policy takes it from the system")
    assert "libpython-dropped" not in short
    assert "note: libpython3.11.so.1.0: " in command("fixup", wheel, *where(scene), "--dry-run", "-v").err


def test_a_build_id_that_is_no_longer_found_in_memory_is_told_in_one_line(command: Command, scene: Scene) -> None:
    core = replace(wants("GLIBC_2.14", needed=("libfoo.so.1",)), notes=(NoteSpec("GNU", 3, bytes(20)),))
    # A note that wants such an alignment cannot make room for a program header.
    wheel = scene.wheel({CORE: patch_section(build_elf(core), ".note.kit", "sh_addralign", 64)})
    told = command("fixup", wheel, *where(scene), "-w", scene.folder / "out").err.splitlines()
    (line,) = [line for line in told if "build-id-hidden" in line]
    assert line.startswith(f"warning: {CORE}: its build id is no longer found in memory, by crash reporters")


def test_what_became_of_search_paths_is_always_told_once_for_equal_files(command: Command, scene: Scene) -> None:
    core = replace(wants("GLIBC_2.14"), rpath="/build/lib:$ORIGIN/../torch/lib")
    wheel = scene.wheel({CORE: core, "demo/two.so": core, "demo/three.so": replace(core, rpath="/home/me")})
    short = command("fixup", wheel, *where(scene), "--dry-run").err
    both = "note: demo/_core.so and 1 more files (-v shows all)"
    dropped = "search folders are dropped that lead nowhere after"
    kept = "search folders are kept that the wheel itself"
    assert short.splitlines() == [
        f"{both}: {dropped} installation [rpath-dropped]",
        "  /build/lib: it is a folder of the build machine",
        f"{both}: {kept} does not fill [rpath-kept]",
        "  $ORIGIN/../torch/lib: it leads to `torch/lib`, which other distributions may fill",
        f"note: demo/three.so: {dropped} installation [rpath-dropped]",
        "  /home/me: it is a folder of the build machine",
    ]
    assert "note: demo/two.so: search folders are kept" in command("fixup", wheel, *where(scene), "--dry-run", "-v").err
    assert command("fixup", wheel, *where(scene), "--dry-run", "-q").err == ""
    result = command("fixup", wheel, *where(scene), "--dry-run", "--format", "json")
    assert [(note["code"], note["subject"]) for note in result.json["wheels"][0]["notes"]] == [
        ("rpath-dropped", CORE),
        ("rpath-kept", CORE),
        ("rpath-dropped", "demo/two.so"),
        ("rpath-kept", "demo/two.so"),
        ("rpath-dropped", "demo/three.so"),
    ]


def test_a_pure_wheel_is_copied_on_request(command: Command, scene: Scene) -> None:
    wheel = scene.wheel({"demo/a.py": b"pass\n"}, tags=("py3-none-any",))
    out = scene.folder / "out"
    refused = command("fixup", wheel, "-w", out)
    assert (refused.code, out.exists()) == (1, False)
    assert "[pure-wheel]" in refused.err
    would = command("fixup", wheel, "-w", out, "--allow-pure-python-wheel", "--dry-run")
    assert would == (0, f"Would copy a wheel without compiled files to {out / wheel.name}\n", "")
    assert not out.exists()
    done = command("fixup", wheel, "-w", out, "--allow-pure-python-wheel", "--format", "json")
    assert done.json["wheels"] == [{"wheel": wheel.name, "pure": True, "output": str(out / wheel.name)}]
    assert (out / wheel.name).read_bytes() == wheel.read_bytes()


@pytest.mark.parametrize("variable", ["DELOC8_PLAT", "AUDITWHEEL_PLAT"])
def test_a_wrong_tag_from_the_environment_names_the_variable(
    command: Command, scene: Scene, wheel: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Line of the peers: a wrong AUDITWHEEL_PLAT gave a traceback."""
    note = f"note: the tag to reach is that of the environment variable {variable}\n"
    monkeypatch.setenv(variable, "manylinux9000")
    code, out, err = command("fixup", wheel, *where(scene), "--dry-run")
    assert (code, out) == (2, "")
    assert "no policy is called `manylinux9000` [unknown-platform]" in err
    assert note in err
    assert command("show", wheel, *where(scene)).code == 0
    monkeypatch.setenv(variable, "manylinux1")
    code, _, err = command("fixup", wheel, *where(scene), "--dry-run")
    assert code == 1
    assert note in err
    code, _, err = command("fixup", wheel, *where(scene), "--dry-run", "--plat", "manylinux1")
    assert code == 1
    assert variable not in err


def test_a_symbol_that_is_too_new_is_told_with_the_tag_that_was_asked_for(command: Command, scene: Scene) -> None:
    """Line of the peers: "too recent" errors named a tag nobody asked for."""
    wheel = scene.wheel({CORE: wants("GLIBC_2.27")})
    code, _, err = command("fixup", wheel, *where(scene), "--plat", "manylinux2014", "-w", scene.folder / "out")
    assert code == 1
    assert err.startswith(f"error: `{CORE}` does not fit manylinux_2_17_x86_64 [symbol-too-new]\n")
    assert "needs use0@GLIBC_2.27 from libc.so.6; manylinux_2_17 ends at GLIBC_2.17\n" in err
    assert "the wheel as it stands fits manylinux_2_27_x86_64\n" in err


def test_a_wheel_that_show_rejects_is_not_repaired(command: Command, scene: Scene) -> None:
    """Line of the peers: a wheel that show rejects for PyFPE was repaired and tagged."""
    wheel = scene.wheel({CORE: ElfSpec(needed=(GLIBC,), undefined=(Undefined("PyFPE_jbuf"),))})
    code, _, err = command("fixup", wheel, *where(scene), "-w", scene.folder / "out")
    assert code == 1
    assert "[pyfpe]" in err
    assert not (scene.folder / "out").exists()


# -- tree


def test_a_tree_of_a_wheel_a_folder_and_nothing(command: Command, scene: Scene, wheel: Path) -> None:
    code, out, err = command("tree", wheel, scene.root / "usr/lib", *where(scene))
    assert (code, err) == (0, "")
    assert out.startswith(f"{CORE}\n|-- libfoo.so.1 => /usr/lib/libfoo.so.1 (default folders)\n")
    assert f"{scene.root}/usr/lib/libfoo.so.1\n`-- libc.so.6 => /usr/lib/libc.so.6" in out
    assert "tried" not in out
    assert "tried /usr/lib/libfoo.so.1" in command("tree", wheel, *where(scene), "-v").out
    missing = command("tree", scene.folder / "none", *where(scene))
    assert missing.code == 1
    assert "[unreadable-file]" in missing.err


def test_a_tree_in_json(command: Command, scene: Scene, wheel: Path) -> None:
    shown = command("tree", wheel, *where(scene), "--format", "json").json
    assert (shown["schema"], shown["command"]) == (1, "tree")
    (value,) = shown["paths"]
    assert (value["path"], value["roots"]) == (WHEEL, [CORE])


# -- policies


def test_the_list_of_policies(command: Command) -> None:
    code, out, err = command("policies", "--arch", "x86_64")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "manylinux_2_5 (manylinux1)"
    assert "manylinux_2_17 (manylinux2014)" in lines
    assert lines[-2:] == ["linux_pybe1_core", "linux"]
    assert command("policies", "--arch", "aarch64", "--libc", "musl").out == "musllinux_1_1\nmusllinux_1_2\nlinux\n"


def test_the_list_of_policies_in_json(command: Command) -> None:
    shown = command("policies", "--arch", "x86_64", "--format", "json").json
    assert (shown["schema"], shown["command"]) == (1, "policies")
    assert {"name": "manylinux_2_17", "aliases": ["manylinux2014"],
            "tags": ["manylinux_2_17_x86_64", "manylinux2014_x86_64"]} in shown["policies"]  # fmt: skip


def test_without_a_machine_it_is_the_one_that_deloc8_runs_on(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "s390x")
    assert json.loads(command("policies", "manylinux2014").out)["arch"] == "s390x"
    monkeypatch.setattr(platform, "machine", lambda: "sparc64")
    code, out, err = command("policies")
    assert (code, out) == (2, "")
    assert "`sparc64` is no machine that the policies know, and it is the one deloc8 runs on [unknown-machine]" in err
    assert "`vax` is no machine that the policies know [unknown-machine]" in command("policies", "--arch", "vax").err


def test_one_policy_is_a_policy_file_that_means_the_same(command: Command, scene: Scene) -> None:
    shown = command("policies", "manylinux2014_x86_64", "--arch", "x86_64")
    assert json.loads(shown.out)["name"] == "manylinux_2_17"
    file = scene.folder / "policy.json"
    file.write_text(shown.out)
    wheel = scene.wheel({CORE: wants("GLIBC_2.17", "GLIBC_2.14", needed=("libz.so.1",))})
    plain = command("show", wheel, *where(scene), "--format", "json")
    again = command("show", wheel, *where(scene), "--format", "json", "--policy", str(file))
    assert again == plain


@pytest.mark.parametrize("name", ["manylinux9", "manylinux_2_17_aarch64"])
def test_an_unknown_policy(command: Command, name: str) -> None:
    code, out, err = command("policies", name, "--arch", "x86_64")
    assert (code, out) == (2, "")
    assert f"`{name}`" in err


@pytest.mark.parametrize(("name", "arch"), [("x86_64", Arch.X86_64), ("armv8l", Arch.ARMV7L), ("i386", Arch.I686)])
def test_machines_by_name(name: str, arch: Arch) -> None:
    assert find_arch(name, asked=True) is arch


# -- exit codes


def test_each_family_of_errors_has_its_exit_code() -> None:
    assert exit_code(UsageError("x", code="x")) == 2
    assert exit_code(ElfError("x", code="x")) == 1
    assert exit_code(UnrepairableError("x", code="x")) == 1
    assert exit_code(VerificationError("x", code="x")) == 3
    assert exit_code(SystemFault("x", code="x")) == 4


def test_a_defect_of_ours_wins_over_other_failures(
    command: Command, scene: Scene, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: str, *_: object) -> None:
        raise VerificationError(path, code="proof") if path == str(wheel) else UsageError(path, code="odd")

    monkeypatch.setattr("deloc8.workflow.repair.repair_wheel", fail)
    assert command("fixup", wheel, scene.folder / "other.whl").code == 3
    assert command("fixup", scene.folder / "other.whl").code == 2


# -- whoever calls auditwheel


@pytest.mark.parametrize("name", ["fixup", "repair"])
@pytest.mark.parametrize(("tag", "left"), [("manylinux_2_28", "manylinux_2_28"), ("manylinux2010", None)])
def test_the_contract_of_cibuildwheels_repair_command(
    scene: Scene, wheel: Path, name: str, tag: str, left: str | None
) -> None:
    # It puts the paths into a template, runs that by a shell in an image that sets AUDITWHEEL_PLAT, and wants exactly
    # one wheel in a folder that was empty.
    folder = scene.folder / "repaired wheel"
    folder.mkdir()
    template = f"{shlex.join(program(name, *where(scene)))} -w {{dest_dir}} {{wheel}}"
    line = template.format(dest_dir=shlex.quote(str(folder)), wheel=shlex.quote(str(wheel)))
    environ = {**os.environ, "AUDITWHEEL_PLAT": f"{tag}_x86_64"}
    ended = subprocess.run(["sh", "-c", line], capture_output=True, check=False, timeout=60, env=environ)
    found = [path.name for path in folder.iterdir()]
    if left is None:
        assert (ended.returncode, found) == (1, [])
        assert b"GLIBC_2.14 from libc.so.6" in ended.stderr
    else:
        assert ended.returncode == 0, ended.stderr
        (only,) = found
        assert only.startswith("demo-1.0-cp311-cp311-")
        assert f"{left}_x86_64" in only
    assert wheel.exists()


def test_a_level_of_compression(command: Command, scene: Scene, wheel: Path) -> None:
    methods = {}
    for level in ("0", "9"):
        folder = scene.root.parent / f"out{level}"
        assert command("fixup", "-z", level, "-w", folder, wheel, "--no-sbom", *where(scene))[0] == 0
        (made,) = folder.iterdir()
        with zipfile.ZipFile(made) as archive:
            methods[level] = {entry.filename: entry.compress_type for entry in archive.infolist()}
    # It is for all members, not only for those that are edited.
    assert set(methods["0"].values()) == {zipfile.ZIP_STORED}
    assert methods["9"][CORE] == zipfile.ZIP_DEFLATED
