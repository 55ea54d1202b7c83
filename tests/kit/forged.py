"""One scene in which everything that can have a name has a hostile one, and the commands that would tell of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from kit.elf import DT_AUXILIARY, ET_EXEC, GLIBC, Defined, ElfSpec, Undefined, build_elf
from kit.packages import Rpm, sqlite_database
from kit.scene import Scene
from kit.wheels import build_wheel, record_text, wheel_text
from kit.zips import Entry, raw_zip, wheel_entries

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

EVIL: Mapping[str, str] = {
    "a command behind a line end": "\n::error::FORGED",
    "a command behind a carriage return": "\r::add-mask::FORGED",
    "an old command behind both": "\r\n##[error]FORGED",
    "a command": "::stop-commands::FORGED",
    "an old command": "##[add-mask]FORGED",
    "a command behind a blank": "a ::warning::FORGED##[group]b",
    "a command behind what is not seen": "\u200b::error::FORGED#\u2060#\xad[error]\ufe0f",
    "a command behind a wide blank": "\u3000::error::FORGED\xa0::b",
    "Azure Pipelines": "##vso[task.complete result=Failed;]FORGED",
    "TeamCity": "##teamcity[buildStop comment='FORGED']",
    "GitLab": "\x1b[0Ksection_start:1560896352:FORGED\r\x1b[0K",
    "Buildkite": "+++ a",
    "line ends of Unicode": "\x85FORGED\u2028FORGED\u2029FORGED\x0bFORGED\x0cFORGED\x1cFORGED",
    "escapes of a terminal": "\x1b[2J\x1b]0;FORGED\x07\x9b31m\x7f\x08\t",
    "letters that turn": "\u202eFORGED\u2066\u061c\u200f",
    "markup of rich": "[bold red]FORGED[/] [link=https://x]y[/link] :warning: \\[",
    "markup of HTML": "<script>FORGED<|script><!--&\"'{{7*7}}",
    "escapes of a command": "%0A::error::FORGED,line=1%25",
    "what is no text": "\udcff\udc80FORGED\ue000\U000e0041",
}
"""Names by what they try. `FORGED` begins no line unless a name has begun one."""


# What begins a command, and what is as harmless as it is like that in the order of texts.
_HARMLESS = {"::": ":;", "##": "#$", "+++": "++,", "---": "--.", "~~~": "~~}", "^^^": "^^_"}


def benign(evil: str) -> str:
    """A harmless text in the place of a hostile one, character by character: what is told of it has as many lines.

    What cannot be printed, and what no path of a wheel may have, is another such character there: what was refused
    still is.
    """
    plain = re.sub(r"[\x01-\x1f]", "\x01", evil)
    plain = re.sub(r"[\x7f-\x9f\u2028\u2029]", "\x86", plain)
    kept = {"\x01", "\x86"}
    plain = "".join(char if char in kept or char.isprintable() or _is_half(char) else "\u2060" for char in plain)
    for mark, harmless in _HARMLESS.items():
        plain = plain.replace(mark, harmless)
    return plain


class Case(NamedTuple):
    """A command to run.

    Attributes:
        name: What is told of.
        words: Behind the name of the command.
        environ: Variables.
        cwd: The folder in which it runs.
    """

    name: str
    words: tuple[str, ...]
    environ: Mapping[str, str] = {}
    cwd: Path | None = None


def file_name(evil: str) -> str:
    """A hostile text as a part of a path of the system."""
    return evil.replace("/", "|").replace("\0", "|")


# What no wheel may have in a path, what ends a field of RECORD, and what no archive can hold.
_NOT_IN_MEMBERS = re.compile(r'[\0-\x1f\x7f-\x9f\u2028\u2029\\\\,"\ud800-\udfff]')


def member_name(evil: str) -> str:
    """The same as a part of a member's path, with another mark for what no wheel may have there."""
    return _NOT_IN_MEMBERS.sub("|", file_name(evil))


def _folder(evil: str) -> str:
    """A hostile text as one folder of a search path."""
    return re.sub("[:;/]", "|", evil)


def one_line(evil: str) -> str:
    """A hostile text where its line ends would end a line of the file."""
    return "".join(char for char in evil if char not in "\r\n")


def cases(folder: Path, evil: str) -> list[Case]:
    """The commands on a scene in which `evil` is part of every name; they are always the same, whatever it is."""
    folder.mkdir(parents=True)
    scene = Scene(folder)
    _system(scene, evil)
    wheel = _wheel(scene, evil)
    _policy(folder, evil)
    return [
        *_of_a_wheel(scene, wheel, evil),
        *_of_a_repair(scene, evil),
        *_of_words(scene, wheel, evil),
        *_of_files(scene, wheel, evil),
        *_of_unsound_wheels(scene, evil),
    ]


def _policy(folder: Path, evil: str) -> None:
    text = f'[{{"name": {json.dumps(evil)}, {json.dumps("key" + evil)}: {json.dumps(evil)}}}]'
    (folder / f"policy{file_name(evil)}.json").write_text(text, "utf-8")
    config = folder / "config"
    config.mkdir()
    (config / "pyproject.toml").write_text(f"[tool.deloc8]\n{_toml('key' + evil)} = []\n", "utf-8")
    selecting = folder / "selecting"
    selecting.mkdir()
    (selecting / "pyproject.toml").write_text(f"[tool.deloc8]\nselect = [{_toml(evil)}]\n", "utf-8")
    broken = folder / "broken"
    broken.mkdir()
    (broken / "pyproject.toml").write_text(f"[tool.deloc8\n{one_line(evil)} = \n", "utf-8", "surrogateescape")


def _toml(text: str) -> str:
    """A text of TOML; what is no text is left out."""
    return '"' + "".join(f"\\U{ord(char):08x}" for char in text if not _is_half(char)) + '"'


def _is_half(char: str) -> bool:
    return 0xD800 <= ord(char) < 0xE000


def _wheel(scene: Scene, evil: str) -> Path:
    """A wheel with hostile names, and the system it was built on."""
    name, member, path = file_name(evil), member_name(evil), _folder(evil)
    graft = f"libgraft{name}.so.2"
    core = ElfSpec(
        needed=(f"{evil}need.so.1".replace("/", "|"), f"libneed{name}.so.1", graft, f"libown{name}.so", GLIBC),
        undefined=(
            Undefined("use", "GLIBC_2.5", GLIBC),
            Undefined(f"sym{evil}", "GLIBC_2.99", GLIBC),
            Undefined(f"{evil}sym", f"GLIBC_{evil}", GLIBC),
            Undefined(f"give{evil}", f"GIVE{evil}", graft),
            Undefined(f"lone{evil}"),
        ),
        rpath=f"$ORIGIN/../demo.libs:/build{path}/lib:{path}",
        links=((DT_AUXILIARY, f"libfast{name}.so"),),
    )
    own = ElfSpec(soname=f"libown{name}.so", defined=(Defined(f"own{evil}"),), needed=(GLIBC, f"libidle{name}.so"))
    source = f"import ctypes\nctypes.CDLL({'libopened' + name + '.so'!a})\n"
    members: dict[str, ElfSpec | bytes] = {
        f"{member}x/_core.so": core,
        f"demo/{member}.so": replace(core, soname=f"_two{name}.so"),
        f"demo.libs/libown{member}.so": own,
        f"demo.libs/libtwin{member}.so": own,
        f"{member}y/opens.py": source.encode(),
        f"demo/{member}arm.so": ElfSpec(machine=183, needed=(f"libarm{name}.so",)),
        f"demo/{member}broken.so": b"\x7fELF" + bytes(60),
    }
    contents = {key: build_elf(value) if isinstance(value, ElfSpec) else value for key, value in members.items()}
    tags = ("cp311-cp311-manylinux_2_17_x86_64",)
    info = "demo-1.0.dist-info"
    line = one_line(evil)
    metadata = f"Metadata-Version: 2.4\nName: demo{line}\nVersion: 1.0{line}\nLicense-File: {line}\n"
    contents[f"{info}/METADATA"] = _encoded(metadata)
    contents[f"{info}/WHEEL"] = wheel_text(tags).replace(b"kit 1.0", _text(line).encode())
    quoted = evil.replace('"', '""')
    record = record_text(contents, f"{info}/RECORD") + _encoded(f'"ghost{quoted}.py",,\n')
    place = scene.folder / f"dist{name}"
    place.mkdir()
    return build_wheel(place, contents, tags=tags, record=record)


def _system(scene: Scene, evil: str) -> None:
    """The system that the wheels are built on."""
    name, member = file_name(evil), member_name(evil)
    libc = ElfSpec(soname=GLIBC, defined=(Defined("use", "GLIBC_2.5"),))
    scene.system.library(f"/usr/lib/{GLIBC}", libc)
    _libraries(scene, evil, f"libgraft{name}.so.2", f"libdeep{name}.so.3")
    _libraries(scene, evil, f"libplain{member}.so.2", f"libbelow{member}.so.3")
    _packages(scene, evil, [f"/opt/{name}/libgraft{name}.so.2", f"/opt/{name}/libplain{member}.so.2"])


def _libraries(scene: Scene, evil: str, graft: str, deep: str) -> None:
    """A library to graft, and one that it needs."""
    folder = f"/opt/{file_name(evil)}"
    spec = ElfSpec(
        soname=graft,
        needed=(GLIBC, deep),
        defined=(Defined(f"give{evil}", f"GIVE{evil}"),),
        undefined=(Undefined("new", "GLIBC_2.5", GLIBC),),
    )
    scene.system.library(f"{folder}/{graft}", spec)
    scene.system.library(f"{folder}/{deep}", ElfSpec(soname=deep, needed=(GLIBC,)))


def _packages(scene: Scene, evil: str, files: list[str]) -> None:
    """An rpm database that has the libraries, in a package with hostile words and licences."""
    name, word = file_name(evil), _text(evil)
    package = Rpm(name=f"pkg{_text(name)}", version=word, release=word, arch=word, files=tuple(map(_text, files)))
    sqlite_database(scene.root / "usr/lib/sysimage/rpm/rpmdb.sqlite", [package])
    scene.system.write(f"/usr/share/licenses/{package.name}/COPYING{name}", "a licence\n")
    scene.system.write("/etc/os-release", _encoded(f'ID="{one_line(name)}"\nVERSION_ID={one_line(name)}\n'))


def _repairable(scene: Scene, evil: str, project: str, graft: str) -> Path:
    """A wheel with hostile names that needs nothing but one library, and newer symbols that can be lowered."""
    name, member = file_name(evil), member_name(evil)
    core = ElfSpec(
        needed=(graft, f"libown{name}.so", GLIBC),
        undefined=(
            Undefined("use", "GLIBC_2.5", GLIBC),
            Undefined("pthread_create", "GLIBC_2.34", GLIBC),
            Undefined(f"give{evil}", f"GIVE{evil}", graft),
        ),
        rpath=f"$ORIGIN/../demo.libs:/build{_folder(evil)}/lib",
    )
    own = ElfSpec(soname=f"libown{name}.so", defined=(Defined(f"own{evil}"),), needed=(GLIBC,))
    members: dict[str, ElfSpec | bytes] = {
        f"{member}x/_core.so": core,
        f"demo/{member}.so": replace(core, soname=f"_two{name}.so"),
        f"demo.libs/libown{member}.so": own,
        f"demo-1.0.data/scripts/run{member}": replace(
            core, type=ET_EXEC, interpreter="/lib64/ld-linux-x86-64.so.2", spare_headers=3
        ),
        f"{member}y/opens.py": f"import ctypes\nctypes.CDLL({graft!a})\n".encode(),
    }
    contents = {key: build_elf(value) if isinstance(value, ElfSpec) else value for key, value in members.items()}
    metadata = f"Metadata-Version: 2.4\nName: {project}\nVersion: 1.0\n"
    contents[f"{project}-1.0.dist-info/METADATA"] = metadata.encode()
    return build_wheel(scene.folder / f"dist{name}", contents, name=project)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(text: str) -> str:
    """A hostile text as UTF-8 can hold it."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _of_a_wheel(scene: Scene, wheel: Path, evil: str) -> list[Case]:
    name = file_name(evil)
    places = ("--sysroot", str(scene.root), "--add-path", str(scene.root / "opt" / name))
    shared = (str(wheel), *places)
    out = str(scene.folder / f"out{name}")
    found = [Case(f"show {form}", ("show", "-v", "--format", form, *shared)) for form in ("text", "json", "html")]
    found += [Case(f"check {form}", ("check", "--format", form, *shared)) for form in CHECK_FORMATS]
    found += [Case(f"tree {form}", ("tree", "-v", "--format", form, *shared)) for form in ("text", "json")]
    found += [
        Case("show -vv", ("show", "-vv", *shared)),
        Case("show of two, with -j2", ("show", "-v", "-j2", str(wheel), *shared)),
        Case("fixup that cannot be", ("fixup", "-w", out, *shared)),
    ]
    subjects = {
        "a library": f"libneed{name}.so.1",
        "a graft": f"libgraft{name}.so.2",
        "a symbol": f"sym{evil}",
        "a version": f"GLIBC_{evil}",
        "a tag": "manylinux_2_17_x86_64",
        "an unknown name": evil,
    }
    for what, subject in subjects.items():
        for form in ("text", "json"):
            found.append(Case(f"why of {what} {form}", ("why", "--format", form, *places, str(wheel), "--", subject)))
    return found


def _of_a_repair(scene: Scene, evil: str) -> list[Case]:
    """Of a wheel that can be repaired, and of one whose graft has a name that no wheel may have."""
    name, member = file_name(evil), member_name(evil)
    odd = _repairable(scene, evil, "odd", f"libgraft{name}.so.2")
    wheel = _repairable(scene, evil, "two", f"libplain{member}.so.2")
    out = str(scene.folder / f"out{name}")
    places = ("--sysroot", str(scene.root), "--add-path", str(scene.root / "opt" / name), "-w", out)
    shared = (*places, str(wheel))
    found = [Case(f"fixup --dry-run {form}", ("fixup", "--format", form, "--dry-run", *shared)) for form in FORMS]
    found += [Case(f"fixup {form}", ("fixup", "--format", form, *shared)) for form in FORMS]
    found.append(Case("fixup --dry-run of an odd graft", ("fixup", "-v", "--dry-run", *places, str(odd))))
    found.append(Case("fixup of an odd graft", ("fixup", "-v", *places, str(odd))))
    options = {
        "-v": ("-v",),
        "-v --dry-run": ("-v", "--dry-run"),
        "--lower-glibc": ("-v", "--lower-glibc", "--plat", "manylinux_2_17_x86_64"),
        "--lower-glibc --dry-run": ("-v", "--lower-glibc", "--dry-run", "--plat", "manylinux_2_17_x86_64"),
        "--plat": ("--plat", "manylinux_2_5_x86_64"),
        "--include": ("--include", f"libabsent{name}.so"),
        "--include-dlopened": ("-v", "--include-dlopened", "called"),
        "--exclude": ("--exclude", f"libplain{member}*"),
        "--no-mangle": ("-v", "--no-mangle", "lib*"),
    }
    return [*found, *(Case(f"fixup {what}", ("fixup", *given, *shared)) for what, given in options.items())]


FORMS = ("text", "json", "html")
CHECK_FORMATS = ("text", "json", "sarif", "github")


def _of_words(scene: Scene, wheel: Path, evil: str) -> list[Case]:
    """Of what stands on the command line and in the environment."""
    sound, folder = str(wheel), scene.folder
    words = {
        "a command": (evil,),
        "an option": ("show", f"--{evil}"),
        "a format": ("show", f"--format={evil}", sound),
        "a number": ("show", f"--jobs={evil}", sound),
        "bytes": ("show", f"--max-unpacked={evil}", sound),
        "a missing wheel": ("show", str(folder / f"{file_name(evil)}-1.0-py3-none-any.whl")),
        "a missing wheel of check": ("check", str(folder / f"x{file_name(evil)}.whl")),
        "a missing path of tree": ("tree", str(folder / file_name(evil))),
        "a sysroot": ("show", sound, "--sysroot", str(folder / file_name(evil))),
        "a policy file": ("show", sound, "--policy", str(folder / f"absent{file_name(evil)}")),
        "an output": ("show", sound, "-o", str(folder / "absent" / file_name(evil))),
        "a platform": ("fixup", sound, f"--plat={evil}"),
        "a suffix": ("fixup", sound, f"--lib-sdir={evil}", "-w", str(folder / "suffix")),
        "a level": ("fixup", sound, f"--zip-compression-level={evil}"),
        "a code": ("check", sound, f"--ignore={evil}"),
        "a glob": ("show", "-v", sound, "--exclude", f"lib{evil}*"),
        "a policy": ("policies", "--", evil),
        "a machine": ("policies", f"--arch={evil}"),
        "a shell": (f"--print-completion={evil}",),
    }
    variables = {
        "DELOC8_PLAT": ("fixup", sound),
        "SOURCE_DATE_EPOCH": ("fixup", sound),
        "AUDITWHEEL_ZIP_COMPRESSION_LEVEL": ("fixup", sound),
        "LD_LIBRARY_PATH": ("tree", "-v", sound),
    }
    found = [Case(what, given) for what, given in words.items()]
    found += [Case(f"{what}, as JSON", (*words[what], "--format", "json")) for what in _AS_JSON]
    for variable, given in variables.items():
        value = _folder(evil) if variable == "LD_LIBRARY_PATH" else evil
        found.append(Case(f"the variable {variable}", given, {variable: value}))
    return found


_AS_JSON = ("a missing wheel", "a missing path of tree", "a policy file", "a platform", "a policy", "a machine")


def _of_files(scene: Scene, wheel: Path, evil: str) -> list[Case]:
    """Of what stands in a policy, in pyproject.toml, and of ELF files and folders."""
    folder = scene.folder
    library = folder / f"{file_name(evil)}lone.so"
    library.write_bytes(build_elf(ElfSpec(needed=(f"{evil}.so".replace("/", "|"),), rpath=_folder(evil))))
    broken = folder / f"{file_name(evil)}broken.so"
    broken.write_bytes(b"\x7fELF" + bytes(60))
    policy = str(folder / f"policy{file_name(evil)}.json")
    return [
        Case("what a policy holds", ("show", str(wheel), "--policy", policy)),
        Case("what a policy holds, as JSON", ("show", str(wheel), "--format", "json", "--policy", policy)),
        Case("a key of pyproject.toml", ("check", str(wheel)), cwd=folder / "config"),
        Case("a code of pyproject.toml", ("check", str(wheel)), cwd=folder / "selecting"),
        Case("a broken pyproject.toml", ("check", str(wheel)), cwd=folder / "broken"),
        Case("tree of a file", ("tree", str(library), "--sysroot", str(scene.root))),
        Case("tree of a broken file", ("tree", str(broken), "--sysroot", str(scene.root))),
        Case("tree of a folder", ("tree", str(scene.root / "opt"), "--sysroot", str(scene.root))),
    ]


def _of_unsound_wheels(scene: Scene, evil: str) -> list[Case]:
    """Of wheels that are refused."""
    raw = evil.replace("\0", "|").encode("utf-8", "surrogateescape")
    info, tags = "demo-1.0.dist-info", ("cp311-cp311-linux_x86_64",)
    archives = {
        "a path": raw_zip(wheel_entries(Entry(name=b"../" + raw))),
        "a name with control characters": raw_zip(wheel_entries(Entry(name=b"demo/\n" + raw))),
        "a duplicate": raw_zip(wheel_entries(Entry(name=b"demo/" + raw), Entry(name=b"demo/" + raw))),
        "two names": raw_zip(wheel_entries(Entry(name=b"demo/" + raw, local={"crc": 1}))),
        "a folder of metadata": raw_zip([Entry(name=raw.replace(b"/", b"|") + b"-1.0.dist-info/WHEEL")]),
    }
    found = []
    for number, (what, data) in enumerate(archives.items()):
        place = scene.folder / f"unsound{number}"
        place.mkdir()
        path = place / "demo-1.0-py3-none-any.whl"
        path.write_bytes(data)
        found += [Case(f"{what}, {command}", (command, str(path))) for command in ("show", "check")]
        found.append(Case(f"{what}, as JSON", ("show", "--format", "json", str(path))))
    texts: dict[str, dict[str, bytes]] = {
        "a tag": {f"{info}/WHEEL": wheel_text(tags) + _encoded(f"Tag: {one_line(evil)}\n")},
        "a version of the format": {f"{info}/WHEEL": _encoded(f"Wheel-Version: {one_line(evil)}\n")},
        "a field of WHEEL": {f"{info}/WHEEL": wheel_text(tags) + _encoded(f"{one_line(evil)}\n")},
        "METADATA": {f"{info}/METADATA": _encoded(f"Metadata-Version: 2.1\nName: {one_line(evil)}\n")},
    }
    for number, (what, members) in enumerate(texts.items()):
        place = scene.folder / f"text{number}"
        place.mkdir()
        path = build_wheel(place, {"demo/_core.so": build_elf(ElfSpec(needed=(GLIBC,))), **members}, tags=tags)
        found += [Case(f"{what}, {command}", (command, str(path))) for command in ("show", "check", "fixup")]
    place = scene.folder / "record"
    place.mkdir()
    record = _encoded(f"demo/gone.py,sha256=!{one_line(evil).replace(',', '.')},7\n")
    path = build_wheel(place, {"demo/_core.so": build_elf(ElfSpec(needed=(GLIBC,)))}, tags=tags, record=record)
    found += [Case(f"a hash of RECORD, {command}", (command, str(path))) for command in ("show", "check", "fixup")]
    misnamed = scene.folder / f"demo-1.0-{file_name(evil)}-none-any.whl"
    misnamed.write_bytes(raw_zip(wheel_entries()))
    found += [Case(f"a wheel's name, {command}", (command, str(misnamed))) for command in ("show", "check", "fixup")]
    found.append(Case("a wheel's name, github", ("check", "--format", "github", str(misnamed))))
    return found
