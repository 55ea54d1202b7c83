"""The simulated loader against the real ones, on everything the machine has and on layouts made for them."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from elftools.elf.elffile import ELFFile

from deloc8.cli.args import parse
from deloc8.elf.read.image import ElfImage
from deloc8.loader.ldcache import read_ld_so_cache
from deloc8.loader.ldconf import read_ld_so_conf
from deloc8.loader.resolve import LoadGraph, Resolver
from deloc8.loader.search import SearchOptions
from deloc8.loader.sysroot import Sysroot
from deloc8.target import Arch, Libc
from kit.elf import MACHINES, ElfSpec, build_elf
from kit.require import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

MUSL_LOADER = "/lib/ld-musl-x86_64.so.1"


class Loaded(NamedTuple):
    """What a loader says: the name of each loaded object with its path, in load order; and the names not found."""

    objects: list[tuple[str, str]]
    missing: set[str]


def interpreter_of(path: str) -> str | None:
    with Path(path).open("rb") as stream:
        for segment in ELFFile(stream).iter_segments("PT_INTERP"):
            return str(segment.data().rstrip(b"\0"), "utf-8")
    return None


@pytest.fixture(scope="module")
def loader() -> str:
    """The real loader of this machine's Python."""
    found = interpreter_of(sys.executable)
    if found is None or "ld-musl" in found:
        pytest.skip("needs a Python that is linked against glibc, to know the machine's ld.so")
    return found


@pytest.fixture(scope="module")
def options(loader: str) -> SearchOptions:
    """The processor that the real loader sees, in its own words (`ld.so --help`, from glibc 2.33 on)."""
    text = subprocess.run([loader, "--help"], capture_output=True, text=True, check=False).stdout
    section = text.partition("Subdirectories of glibc-hwcaps")[2].partition("\n\n")[0]
    platform = re.search(r"^  (\S+) \(AT_PLATFORM; ", text, re.MULTILINE)
    return SearchOptions(
        hwcaps=tuple(re.findall(r"^  (\S+) \(supported, searched\)", section, re.MULTILINE)),
        platform=platform[1] if platform else None,
    )


def ask(loader: str, path: str, folder: Path, library_path: str = "") -> subprocess.CompletedProcess[str]:
    """What ld.so answers in the way of `ldd`, which goes on where a library is missing; `--list` gives up there."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LD_")}
    environment["LD_TRACE_LOADED_OBJECTS"] = "1"
    if library_path:
        environment["LD_LIBRARY_PATH"] = library_path
    command = [loader, path]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)


def parse_answer(text: str) -> Loaded:
    objects = []
    missing = set()
    for line in text.splitlines():
        entry = line.strip()
        if not line.startswith("\t") or entry == "statically linked" or entry.startswith("linux-vdso"):
            continue
        if entry.endswith(" => not found"):
            missing.add(entry.removesuffix(" => not found"))
            continue
        name, _, path = entry.rpartition(" (0x")[0].partition(" => ")
        objects.append((name, path or name))
    return Loaded(objects, missing)


def simulate(graph: LoadGraph, loader: str) -> Loaded:
    """A graph in the words of ld.so, which calls itself by its path, and what is missing by its name without tokens."""
    objects = [(loaded.path if loaded.path == loader else loaded.asked_as, loaded.path) for loaded in graph.objects[1:]]
    assert [loaded.real_path for loaded in graph.objects] == [os.path.realpath(loaded.path) for loaded in graph.objects]
    names = {lookup.tried[0].path if "$" in lookup.name else lookup.name for lookup in graph.missing}
    return Loaded(objects, names)


def elf_files(*tops: str) -> Iterator[str]:
    for top in tops:
        for folder, _, names in os.walk(top):
            for path in (Path(folder, name) for name in names):
                if path.is_symlink() or not path.is_file():
                    continue
                try:
                    with path.open("rb") as stream:
                        magic = stream.read(4)
                except PermissionError:
                    continue
                if magic == b"\x7fELF":
                    yield str(path)


def test_everything_on_this_machine(
    loader: str, options: SearchOptions, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    files = list(elf_files("/usr/bin", "/usr/lib"))
    resolver = Resolver(sysroot := Sysroot(), options)
    counts: Counter[str] = Counter()
    differences = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        answers = pool.map(lambda path: ask(loader, path, tmp_path), files)
        for path, answer in zip(files, answers, strict=True):
            if answer.returncode:
                counts["the loader refuses it: another machine, a static program, an object file, debug data"] += 1
                continue
            real = parse_answer(answer.stdout)
            image = sysroot.image(path)
            assert isinstance(image, ElfImage), f"{path}: {image}"
            ours = simulate(resolver.resolve(path, image), loader)
            counts["compared"] += 1
            counts["libraries in them"] += len(real.objects) + len(real.missing)
            if ours != real:
                differences.append((path, real, ours))
    for what, count in counts.items():
        record_property(what, count)
    print(dict(counts), len(differences), "differences")  # noqa: T201 - the figures, shown by `pytest -s`
    assert not differences, differences[:5]
    assert counts["compared"] > 500 or len(files) < 600


@dataclass(kw_only=True)
class Layout:
    """Libraries made for one case, in folders below one folder; the simulation and the real loader look at the same."""

    top: Path
    loader: str
    options: SearchOptions
    compiler: str = "gcc"
    empty: Path = field(init=False)

    def __post_init__(self) -> None:
        self.empty = self.top / "current folder"
        self.empty.mkdir(parents=True)
        (self.top / "empty.c").write_text("int deloc8_case(void) { return 8; }\n")

    def path(self, name: str) -> str:
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return str(path)

    def build(self, name: str, spec: ElfSpec) -> str:
        """A library from the test kit, for what no linker would do."""
        Path(path := self.path(name)).write_bytes(build_elf(spec))
        return path

    def link(self, name: str, *needs: str, soname: str | None = None, flags: Sequence[str] = ()) -> str:
        """A library from the real linker; `needs` are the paths of libraries that were linked before."""
        command = [self.compiler, "-shared", "-nostdlib", "-o", self.path(name), str(self.top / "empty.c")]
        command += ["-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined", *needs, *flags]
        subprocess.run([*command, *([f"-Wl,-soname,{soname}"] if soname else [])], check=True, cwd=self.top)
        return self.path(name)

    def compare(self, root: str, *library_path: str) -> Loaded:
        """What the real loader says, once the simulation has said the same."""
        answer = ask(self.loader, root, self.empty, ":".join(library_path))
        assert answer.returncode == 0, answer.stderr
        sysroot = Sysroot()
        image = sysroot.image(root)
        assert isinstance(image, ElfImage)
        graph = Resolver(sysroot, replace(self.options, library_path=library_path)).resolve(root, image)
        real = parse_answer(answer.stdout)
        assert simulate(graph, self.loader) == real
        return real

    def found(self, root: str, *library_path: str) -> Mapping[str, str]:
        """The same, as paths relative to the folder of the case; for one that is missing the empty string."""
        real = self.compare(root, *library_path)
        paths = {name: os.path.relpath(path, self.top) for name, path in real.objects}
        return {**paths, **dict.fromkeys(real.missing, "")}


@pytest.fixture
def layout(tmp_path: Path, loader: str, options: SearchOptions) -> Layout:
    return Layout(top=tmp_path, loader=loader, options=options, compiler=require("gcc", "Debian: gcc"))


RPATH = "-Wl,--disable-new-dtags,-rpath,"
RUNPATH = "-Wl,--enable-new-dtags,-rpath,"


def test_rpath_is_inherited_and_runpath_is_not(layout: Layout) -> None:
    b = layout.link("lib/libb.so", soname="libb.so")
    a = layout.link("lib/liba.so", b, soname="liba.so")
    with_rpath = layout.link("rpath.so", a, flags=[RPATH + "$ORIGIN/lib"])
    with_runpath = layout.link("runpath.so", a, flags=[RUNPATH + "$ORIGIN/lib"])
    assert layout.found(with_rpath) == {"liba.so": "lib/liba.so", "libb.so": "lib/libb.so"}
    assert layout.found(with_runpath) == {"liba.so": "lib/liba.so", "libb.so": ""}


def test_runpath_of_the_asking_object_hides_the_whole_rpath_chain(layout: Layout) -> None:
    c = layout.link("lib/libc8.so", soname="libc8.so")
    b = layout.link("lib/libb.so", c, soname="libb.so", flags=[RUNPATH + "/nowhere"])
    root = layout.link("root.so", b, flags=[RPATH + "$ORIGIN/lib"])
    assert layout.found(root) == {"libb.so": "lib/libb.so", "libc8.so": ""}


def test_rpath_chain_goes_past_an_object_with_runpath(layout: Layout) -> None:
    c = layout.link("lib/libc8.so", soname="libc8.so")
    b = layout.link("mid/libb.so", c, soname="libb.so")
    a = layout.link("lib/liba.so", b, soname="liba.so", flags=[RUNPATH + "$ORIGIN/../mid"])
    root = layout.link("root.so", a, flags=[RPATH + "$ORIGIN/lib"])
    assert layout.found(root)["libc8.so"] == "lib/libc8.so"


def test_library_path_stands_between_rpath_and_runpath(layout: Layout) -> None:
    a = layout.link("own/liba.so", soname="liba.so")
    layout.link("env/liba.so", soname="liba.so")
    environment = str(layout.top / "env")
    with_rpath = layout.link("rpath.so", a, flags=[RPATH + "$ORIGIN/own"])
    with_runpath = layout.link("runpath.so", a, flags=[RUNPATH + "$ORIGIN/own"])
    assert layout.found(with_rpath, environment) == {"liba.so": "own/liba.so"}
    assert layout.found(with_runpath, environment) == {"liba.so": "env/liba.so"}
    assert layout.found(with_runpath) == {"liba.so": "own/liba.so"}


def test_origin_in_library_path_is_the_folder_of_the_root(layout: Layout) -> None:
    b = layout.link("lib/libb.so", soname="libb.so")
    a = layout.link("lib/liba.so", b, soname="liba.so")
    root = layout.link("root.so", a)
    assert layout.found(root, "$ORIGIN/lib", "", "relative")["libb.so"] == "lib/libb.so"


@pytest.mark.parametrize(
    ("entry", "folder"),
    [
        ("$ORIGIN/lib", "lib"),
        ("${ORIGIN}/lib", "lib"),
        ("$ORIGIN/lib///", "lib"),
        ("${ORIGIN}", "."),
        ("$ORIGIN/link/../x", "x"),  # as written; the real path, which is compared too, is real/x
        ("$ORIGINAL/lib", ""),
        ("${ORIGIN/lib", ""),
        ("$ORIGIN.d", "../case.d"),
        ("$ORIGIN/$LIB", None),
        ("$ORIGIN/${PLATFORM}/x", None),
        ("$ORIGIN/$UNKNOWN", "$UNKNOWN"),
    ],
)
def test_tokens(tmp_path: Path, loader: str, options: SearchOptions, entry: str, folder: str | None) -> None:
    layout = Layout(top=tmp_path / "case", loader=loader, options=options)
    candidates = ["lib", ".", "real/x", "x", "../case.d", "$UNKNOWN", "$ORIGINAL/lib"]
    candidates += ["lib/x86_64-linux-gnu", "lib64", f"{options.platform}/x"]
    for candidate in candidates:
        layout.build(f"{candidate}/liba.so", ElfSpec(soname="liba.so"))
    layout.build("real/deep/other.so", ElfSpec())
    (layout.top / "link").symlink_to("real/deep")
    root = layout.build("root.so", ElfSpec(needed=("liba.so",), runpath=entry))
    found = layout.found(root)["liba.so"]
    if folder is None:
        assert found
    else:
        assert found == (os.path.normpath(f"{folder}/liba.so") if folder else "")


def test_empty_entries_mean_the_current_folder(layout: Layout) -> None:
    a = layout.link("lib/liba.so", soname="liba.so")
    assert layout.found(layout.link("one.so", a, flags=[RPATH + "::relative:$ORIGIN/lib:"])) == {
        "liba.so": "lib/liba.so"
    }
    assert layout.found(layout.link("two.so", a, flags=[RPATH + ":"])) == {"liba.so": ""}
    assert layout.found(layout.build("three.so", ElfSpec(needed=("liba.so",), runpath=""))) == {"liba.so": ""}


@pytest.mark.parametrize("text", ["{0};{1}", "{1}:", ":", ";{1}", "{1};", "{0}:{1};", ".", "{1}/link/../..", ""])
def test_library_path_as_the_command_line_reads_it(layout: Layout, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layout.build("one/liba.so", ElfSpec(soname="liba.so"))
    layout.build("current folder/libb.so", ElfSpec(soname="libb.so"))
    layout.build("real/deep/libc8.so", ElfSpec(soname="libc8.so"))
    (layout.top / "two").mkdir()
    (layout.top / "two/link").symlink_to(layout.top / "real/deep")
    root = layout.build("root.so", ElfSpec(needed=("liba.so", "libb.so", "libc8.so")))
    variable = text.format(layout.top / "one", layout.top / "two")
    monkeypatch.chdir(layout.empty)
    monkeypatch.setenv("LD_LIBRARY_PATH", variable)
    read = parse(["tree", root], {"LD_LIBRARY_PATH": variable}).environment_path
    image = Sysroot().image(root)
    assert isinstance(image, ElfImage)
    graph = Resolver(Sysroot(), replace(layout.options, environment_path=read)).resolve(root, image)
    real = parse_answer(ask(layout.loader, root, layout.empty, variable).stdout)
    ours = {edge.name: edge.lookup.real_path for edge in graph.edges}
    # The loader writes the current folder as it was given to it.
    theirs = {name: os.path.realpath(layout.empty / path) for name, path in real.objects}
    assert ours == {**theirs, **dict.fromkeys(real.missing)}


@pytest.mark.parametrize("name", ["linux-vdso.so.1", "linux-gate.so.1", "linux-vdso32.so.1", "linux-vdso64.so.1"])
def test_the_library_of_the_kernel_is_always_there(layout: Layout, name: str) -> None:
    root = layout.build("root.so", ElfSpec(needed=(name,)))
    answer = ask(layout.loader, root, layout.empty)
    image = Sysroot().image(root)
    assert isinstance(image, ElfImage)
    graph = Resolver(Sysroot(), layout.options).resolve(root, image)
    assert [lookup.name for lookup in graph.missing] == re.findall(r"(\S+) => not found", answer.stdout)


def test_an_empty_runpath_still_hides_rpath(layout: Layout) -> None:
    layout.link("lib/liba.so", soname="liba.so")
    root = layout.build("root.so", ElfSpec(needed=("liba.so",), rpath="$ORIGIN/lib", runpath=""))
    assert layout.found(root) == {"liba.so": ""}


def test_rpath_and_runpath_in_one_file(layout: Layout) -> None:
    layout.link("one/liba.so", soname="liba.so")
    layout.link("two/liba.so", soname="liba.so")
    root = layout.build("root.so", ElfSpec(needed=("liba.so",), rpath="$ORIGIN/one", runpath="$ORIGIN/two"))
    assert layout.found(root) == {"liba.so": "two/liba.so"}


def test_no_default_libraries(layout: Layout) -> None:
    a = layout.link("lib/liba.so", soname="liba.so")
    system = next(path for name, path in layout.compare(sys.executable).objects if name == "libc.so.6")
    root = layout.link("root.so", a, system, flags=["-Wl,-z,nodefaultlib", RPATH + "$ORIGIN/lib"])
    assert layout.found(root) == {"liba.so": "lib/liba.so", "libc.so.6": ""}
    usual = layout.link("usual.so", a, system, flags=[RPATH + "$ORIGIN/lib"])
    assert layout.found(usual)["libc.so.6"]


def test_another_machine_is_passed_over(layout: Layout) -> None:
    layout.build("i686/liba.so", replace(MACHINES["i686"], soname="liba.so"))
    layout.build("aarch64/liba.so", replace(MACHINES["aarch64"], soname="liba.so"))
    a = layout.link("lib/liba.so", soname="liba.so")
    root = layout.link("root.so", a, flags=[RUNPATH + "$ORIGIN/i686:$ORIGIN/aarch64:$ORIGIN/lib"])
    assert layout.found(root) == {"liba.so": "lib/liba.so"}
    none = layout.link("none.so", a, flags=[RUNPATH + "$ORIGIN/i686"])
    assert layout.found(none) == {"liba.so": ""}


def test_two_files_with_one_soname(layout: Layout) -> None:
    one = layout.link("one/libdup.so", soname="libdup.so")
    two = layout.link("two/libdup.so", soname="libdup.so")
    a = layout.link("liba.so", one, soname="liba.so", flags=[RUNPATH + "$ORIGIN/one"])
    b = layout.link("libb.so", two, soname="libb.so", flags=[RUNPATH + "$ORIGIN/two"])
    assert layout.found(layout.link("ab.so", a, b, flags=[RUNPATH + "$ORIGIN"]))["libdup.so"] == "one/libdup.so"
    assert layout.found(layout.link("ba.so", b, a, flags=[RUNPATH + "$ORIGIN"]))["libdup.so"] == "two/libdup.so"


def test_two_files_with_one_soname_by_their_paths(layout: Layout) -> None:
    paths = tuple(layout.link(f"{name}/libdup.so", soname="libdup.so") for name in ("one", "two"))
    root = layout.build("root.so", ElfSpec(needed=(*paths, "libdup.so")))
    assert [os.path.relpath(path, layout.top) for _, path in layout.compare(root).objects] == [
        "one/libdup.so",
        "two/libdup.so",
    ]


def test_needed_paths(layout: Layout) -> None:
    a = layout.link("lib/liba.so")  # without a soname, the linker writes its path into DT_NEEDED
    root = layout.link("root.so", a)
    assert layout.found(root) == {a: "lib/liba.so"}
    needed = ("$ORIGIN/lib/liba.so", "lib/liba.so", "./libz.so", "/nowhere/libz.so", "${ORIGIN}/none/libz.so")
    assert len(layout.compare(layout.build("token.so", ElfSpec(needed=needed))).missing) == 4


def test_a_needed_path_with_a_token_means_another_file_in_another_folder(layout: Layout) -> None:
    for folder in ("one", "two"):
        layout.build(f"{folder}/libx.so", ElfSpec())
        layout.build(f"{folder}/lib{folder}.so", ElfSpec(needed=("$ORIGIN/libx.so",)))
    root = layout.build("root.so", ElfSpec(needed=("libone.so", "libtwo.so"), runpath="$ORIGIN/one:$ORIGIN/two"))
    assert len(layout.compare(root).objects) == 4


def test_a_soname_that_is_loaded_is_not_looked_for(layout: Layout) -> None:
    real = layout.link("lib/libreal.so", soname="libalias.so.1")
    b = layout.build("lib/libb.so", ElfSpec(soname="libb.so", needed=("libalias.so.1",)))
    root = layout.build("root.so", ElfSpec(needed=("libreal.so", "libb.so"), rpath="$ORIGIN/lib"))
    assert layout.found(root) == {
        "libreal.so": os.path.relpath(real, layout.top),
        "libb.so": os.path.relpath(b, layout.top),
    }
    swapped = layout.build("swapped.so", ElfSpec(needed=("libb.so", "libreal.so"), rpath="$ORIGIN/lib"))
    assert layout.found(swapped)["libreal.so"]  # by the time libalias.so.1 is looked for, libreal.so has given it


def test_one_file_under_two_names_is_loaded_once(layout: Layout) -> None:
    layout.link("lib/liba.so", soname="liba.so")
    (layout.top / "lib/libb.so").symlink_to("liba.so")
    (layout.top / "lib/libc8.so").hardlink_to(layout.top / "lib/liba.so")
    needed = ("libb.so", "libc8.so", "liba.so")
    root = layout.build("root.so", ElfSpec(needed=needed, rpath="$ORIGIN/lib"))
    assert layout.found(root) == {"libb.so": "lib/libb.so"}


def test_circles_and_repetitions(layout: Layout) -> None:
    layout.build("liba.so", ElfSpec(soname="liba.so", needed=("libb.so", "root.so.1", "libgone.so")))
    layout.build("libb.so", ElfSpec(soname="libb.so", needed=("liba.so", "libb.so", "libgone.so")))
    needed = ("liba.so", "libb.so", "liba.so", "root.so.1")
    root = layout.build("root.so", ElfSpec(soname="root.so.1", needed=needed, rpath="$ORIGIN:$ORIGIN:$ORIGIN/"))
    assert layout.found(root) == {"liba.so": "liba.so", "libb.so": "libb.so", "libgone.so": ""}


def test_folders_for_better_processors(layout: Layout) -> None:
    if not layout.options.hwcaps:
        pytest.skip("needs a loader and a processor with glibc-hwcaps folders (glibc 2.33, x86-64-v2)")
    for folder in ("", *(f"glibc-hwcaps/{name}/" for name in (*layout.options.hwcaps, "x86-64-v9"))):
        layout.build(f"lib/{folder}liba.so", ElfSpec(soname="liba.so"))
    layout.build(f"lib/glibc-hwcaps/{layout.options.hwcaps[-1]}/libb.so", ElfSpec(soname="libb.so"))
    root = layout.build("root.so", ElfSpec(needed=("liba.so", "libb.so"), rpath="$ORIGIN/lib"))
    best, least = layout.options.hwcaps[0], layout.options.hwcaps[-1]
    assert layout.found(root) == {
        "liba.so": f"lib/glibc-hwcaps/{best}/liba.so",
        "libb.so": f"lib/glibc-hwcaps/{least}/libb.so",
    }


def random_layout(layout: Layout, seed: int, tokens: Sequence[str]) -> tuple[str, list[str]]:
    """A root with libraries strewn over some folders, and folders for LD_LIBRARY_PATH; all of it by chance."""
    chance = random.Random(seed)  # noqa: S311 - a repeatable choice, no secret
    folders = ["a", "b", "c/d"]
    names = [f"lib{letter}.so" for letter in "pqrstu"]
    entries = [*tokens, *(str(layout.top / folder) for folder in folders), "", "relative", "/nowhere"]

    def search_path() -> str | None:
        return ":".join(chance.choices(entries, k=chance.randint(0, 3))) if chance.random() < 0.4 else None

    def spec(name: str | None) -> ElfSpec:
        soname = chance.choice([name, name, None, chance.choice(names)]) if name else None
        needed = tuple(chance.sample(names, chance.randint(0, 3)))
        return ElfSpec(soname=soname, needed=needed, rpath=search_path(), runpath=search_path())

    for folder in folders:
        for name in names:
            if chance.random() < 0.6:
                if layout.options.libc is Libc.GLIBC and chance.random() < 0.1:  # musl gives up at such a file
                    layout.build(f"{folder}/{name}", replace(MACHINES["i686"], soname=name))
                else:
                    layout.build(f"{folder}/{name}", spec(name))
    root = layout.build("c/root.so", replace(spec(None), needed=tuple(chance.sample(names, 3))))
    return root, chance.sample([entry for entry in entries if entry], chance.randint(0, 2))


@pytest.mark.parametrize("seeds", [range(start, start + 50) for start in range(0, 300, 50)], ids=str)
def test_layouts_by_chance(tmp_path: Path, loader: str, options: SearchOptions, seeds: range) -> None:
    libraries = 0
    for seed in seeds:
        layout = Layout(top=tmp_path / str(seed), loader=loader, options=options)
        tokens = ["$ORIGIN", "$ORIGIN/../b", "${ORIGIN}/d", "$ORIGIN/../c/d", "$ORIGIN/../../a"]
        root, library_path = random_layout(layout, seed, tokens)
        libraries += len(layout.compare(root, *library_path).objects)
    assert libraries > len(seeds)  # most layouts find something


def musl_answer(path: str, folder: Path, library_path: Sequence[str]) -> Loaded:
    """What musl's loader says of a file; it names those that are missing in its errors."""
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(library_path)}
    command = [MUSL_LOADER, "--list", path]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    missing = set(re.findall(r"^Error loading shared library (.*?): No such file", answer.stderr, re.MULTILINE))
    objects = [line.strip().rpartition(" (0x")[0].partition(" => ") for line in answer.stdout.splitlines()]
    return Loaded([(name, path) for name, _, path in objects if path], missing)


@pytest.fixture(scope="module")
def musl() -> SearchOptions:
    if not Path(MUSL_LOADER).exists():
        pytest.skip("needs musl's loader, to compare with (Debian: musl)")
    return SearchOptions(libc=Libc.MUSL)


def compare_with_musl(root: str, layout: Layout, library_path: Sequence[str]) -> Loaded:
    real = musl_answer(root, layout.empty, library_path)
    sysroot = Sysroot()
    image = sysroot.image(root)
    assert isinstance(image, ElfImage)
    graph = Resolver(sysroot, replace(layout.options, library_path=tuple(library_path))).resolve(root, image)
    assert [loaded.real_path for loaded in graph.objects] == [os.path.realpath(loaded.path) for loaded in graph.objects]
    objects = [(loaded.asked_as, loaded.path) for loaded in graph.objects[1:]]
    assert Loaded(objects, {lookup.name for lookup in graph.missing}) == real
    return real


@pytest.mark.parametrize("seeds", [range(start, start + 50) for start in range(0, 200, 50)], ids=str)
def test_layouts_by_chance_with_musl(tmp_path: Path, musl: SearchOptions, seeds: range) -> None:
    libraries = 0
    for seed in seeds:
        layout = Layout(top=tmp_path / str(seed), loader=MUSL_LOADER, options=musl)
        tokens = ["$ORIGIN", "$ORIGIN/../b", "${ORIGIN}/d", "$ORIGIN/../c/d", "$ORIGIN/../../a", "$LIB"]
        root, library_path = random_layout(layout, seed, tokens)
        libraries += len(compare_with_musl(root, layout, library_path).objects)
    assert libraries > len(seeds)


@pytest.mark.parametrize(
    "name", ["libc.so", "libc.musl-x86_64.so.1", "libm.so.6", "libpthread.so", "ld-musl-x86_64.so.1"]
)
def test_names_of_musl_itself(tmp_path: Path, musl: SearchOptions, name: str) -> None:
    layout = Layout(top=tmp_path, loader=MUSL_LOADER, options=musl)
    layout.build(f"lib/{name}", ElfSpec(soname=name))
    root = layout.build("root.so", ElfSpec(needed=(name,), runpath="$ORIGIN/lib"))
    assert len(compare_with_musl(root, layout, ()).objects) == 1


def test_musl_does_not_look_at_sonames(tmp_path: Path, musl: SearchOptions) -> None:
    layout = Layout(top=tmp_path, loader=MUSL_LOADER, options=musl)
    layout.build("lib/libreal.so", ElfSpec(soname="libalias.so.1"))
    root = layout.build("root.so", ElfSpec(needed=("libreal.so", "libalias.so.1"), rpath="$ORIGIN/lib"))
    assert compare_with_musl(root, layout, ()).missing == {"libalias.so.1"}


@pytest.fixture(scope="module")
def ldconfig() -> str:
    found = shutil.which("ldconfig", path=f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin")
    if found is None:
        pytest.skip("needs ldconfig, which writes and prints ld.so.cache (Debian: libc-bin)")
    return found


def printed_cache(ldconfig: str, path: Path) -> Counter[tuple[str, str, str | None]]:
    """What ldconfig says is in a cache: soname, path, glibc-hwcaps folder."""
    text = subprocess.run([ldconfig, "-p", "-C", path], capture_output=True, text=True, check=True).stdout
    line = re.compile(r'^\t(\S+) \(.*?(?:, hwcap: "([^"]+)")?\) => (\S+)$', re.MULTILINE)
    found = Counter((name, target, hwcap or None) for name, hwcap, target in line.findall(text))
    assert found.total() == int(re.match(r"\d+", text)[0])  # type: ignore[index]  # it begins with the number
    return found


def read_cache(path: Path, names: Iterable[str]) -> Counter[tuple[str, str, str | None]]:
    """What we find in a cache of these sonames, which are all that it has."""
    cache = read_ld_so_cache(path.read_bytes())
    assert cache is not None
    found = Counter((name, entry.path, entry.hwcap) for name in names for entry in cache.named(name))
    assert found.total() == len(cache.names)
    return found


def test_the_cache_of_this_machine(ldconfig: str) -> None:
    path = Path("/etc/ld.so.cache")
    if not path.exists():
        pytest.skip("needs /etc/ld.so.cache, which this machine has not (run ldconfig)")
    printed = printed_cache(ldconfig, path)
    assert read_cache(path, {name for name, _, _ in printed}) == printed


@pytest.mark.parametrize("style", ["new", "compat"])
def test_caches_written_by_ldconfig(tmp_path: Path, ldconfig: str, style: str) -> None:
    folder = tmp_path / "lib"
    for name in ("", "glibc-hwcaps/x86-64-v2", "glibc-hwcaps/x86-64-v3"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "libcase.so.1").write_bytes(build_elf(ElfSpec(soname="libcase.so.1", needed=("libc.so.6",))))
    i686 = replace(MACHINES["i686"], soname="libcase.so.1", needed=("libc.so.6",))
    (tmp_path / "lib32").mkdir()
    (tmp_path / "lib32" / "libcase.so.1").write_bytes(build_elf(i686))
    conf = tmp_path / "conf"
    conf.write_text(f"{tmp_path}/lib32\n{folder}\n")
    path = tmp_path / "cache"
    subprocess.run([ldconfig, "-X", "-c", style, "-C", path, "-f", conf], capture_output=True, check=True)
    printed = printed_cache(ldconfig, path)
    found = read_cache(path, {name for name, _, _ in printed})
    if style == "compat":  # there glibc 2.36 prints the folders' names from wrong places
        assert {entry[:2] for entry in found} == {entry[:2] for entry in printed}
    else:
        assert found == printed
    assert found["libcase.so.1", f"{folder}/glibc-hwcaps/x86-64-v3/libcase.so.1", "x86-64-v3"] == 1
    cache = read_ld_so_cache(path.read_bytes())
    assert cache is not None
    assert cache.find("libcase.so.1", arch=Arch.X86_64) == f"{folder}/libcase.so.1"
    assert cache.find("libcase.so.1", arch=Arch.I686) == f"{tmp_path}/lib32/libcase.so.1"
    v3 = cache.find("libcase.so.1", arch=Arch.X86_64, hwcaps=("x86-64-v3", "x86-64-v2"))
    assert v3 == f"{folder}/glibc-hwcaps/x86-64-v3/libcase.so.1"


def test_ld_so_conf_as_ldconfig_reads_it(tmp_path: Path, ldconfig: str) -> None:
    for name in "abcdefg":
        (tmp_path / "folders" / name).mkdir(parents=True)
    top = f"{tmp_path}/folders"
    (tmp_path / "conf.d" / "deep").mkdir(parents=True)
    (tmp_path / "conf.d" / "2.conf").write_text(f"{top}/c  # a comment\n# {top}/g\n\n")
    (tmp_path / "conf.d" / "1.conf").write_text(f"  {top}/b///\nhwcap 0 nosegneg\ninclude deep/*.conf\n")
    (tmp_path / "conf.d" / ".hidden.conf").write_text(f"{top}/g\n")
    (tmp_path / "conf.d" / "deep" / "x.conf").write_text(f"{top}/f=libc6\n{top}/a\n")
    conf = tmp_path / "conf"
    conf.write_text(f"{top}/a\ninclude conf.d/[12].conf {tmp_path}/no*thing\ninclude {tmp_path}/*.d/*.conf\n{top}/d\n")
    command = [ldconfig, "-v", "-N", "-X", "-f", str(conf)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    expected = re.findall(rf"^({re.escape(top)}/\w):", text, re.MULTILINE)
    assert list(read_ld_so_conf(Sysroot(), str(conf))) == expected
    assert len(expected) == 5
