from __future__ import annotations

import os
from pathlib import Path

import pytest

from deloc8.elf.read.image import ElfImage
from deloc8.errors import InputError, SystemFault
from deloc8.loader.folders import FolderTree, ancestors
from deloc8.loader.sysroot import Fault, NoImage, Overlay, Sysroot
from kit.elf import ElfSpec, build_elf
from kit.system import System, image_of


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path / "root")


def test_symlinks_stay_inside(system: System) -> None:
    system.write("/usr/lib/libreal.so.1.2")
    system.symlink("/usr/lib/liba.so", "libreal.so.1.2")
    system.symlink("/lib", "/usr/lib")
    system.symlink("/opt/app/lib", "../../lib")
    system.symlink("/opt/out", "../../../../../../usr")
    system.symlink("/opt/dot", ".")
    real = "/usr/lib/libreal.so.1.2"
    paths = [real, "/usr/lib/liba.so", "/lib/liba.so", "/opt/app/lib/liba.so", "/opt/out/lib/liba.so"]
    paths += ["/../..//usr/./lib/liba.so", "/opt/app/../dot/dot/app/lib/liba.so"]
    assert {system.sysroot.real_path(path) for path in paths} == {real}
    assert system.sysroot.real_path("/") == "/"
    assert system.sysroot.real_path("/opt/app/lib/") == "/usr/lib"
    assert system.sysroot.real_path("/opt/app/..") == "/opt"
    assert system.sysroot.host_path("/lib/liba.so") == system.top / "usr/lib/libreal.so.1.2"


def test_what_does_not_exist(system: System) -> None:
    system.write("/file")
    system.symlink("/dangling", "nowhere")
    system.symlink("/circle/one", "two")
    system.symlink("/circle/two", "/circle/one")
    for path in (
        "/none",
        "/none/file",
        "/file/x",
        "/file/../file",
        "/file/.",
        "/file/",
        "/dangling",
        "/circle/one",
        "/circle/one/x",
        "/nul\0",
        "/x\ud800",
    ):
        assert system.sysroot.real_path(path) is None, path
        assert system.sysroot.image(path) == NoImage(fault=Fault.MISSING)
        assert system.sysroot.identity(path) == path
    assert system.sysroot.host_path("/none") == system.top / "none"


def test_as_many_symlinks_as_the_kernel_follows(system: System) -> None:
    system.write("/link0")
    for number in range(1, 42):
        system.symlink(f"/link{number}", f"link{number - 1}")
    for number in (40, 41):
        if number == 40:
            (system.top / "link40").stat()
        else:
            with pytest.raises(OSError, match="symbolic links"):
                (system.top / "link41").stat()
    assert system.sysroot.real_path("/link40") == "/link0"
    assert system.sysroot.real_path("/link41") is None


def test_the_root_may_be_a_symlink(tmp_path: Path) -> None:
    System(tmp_path / "root").write("/lib/a")
    (tmp_path / "alias").symlink_to("root")
    assert Sysroot(str(tmp_path / "alias")).host_path("/lib/a") == tmp_path / "root/lib/a"


def test_the_machine_itself() -> None:
    sysroot = Sysroot()
    assert sysroot.real_path(__file__) == str(Path(__file__).resolve())
    assert sysroot.host_path(__file__) == Path(__file__).resolve()
    assert "passwd" in sysroot.list("/etc")


def test_images_are_read_once(system: System) -> None:
    system.library("/lib/libz.so.1.3", ElfSpec(soname="libz.so.1"))
    system.symlink("/lib/libz.so.1", "libz.so.1.3")
    sysroot = system.sysroot
    image = sysroot.image("/lib/libz.so.1")
    assert isinstance(image, ElfImage)
    assert image.soname == "libz.so.1"
    assert sysroot.image("/lib/../lib/libz.so.1.3") is image


def test_what_is_no_image(system: System) -> None:
    system.write("/script", "INPUT(libz.so.1)")
    system.write("/empty")
    system.write("/short", b"\x7fELF\x02")
    system.write("/folder/x")
    os.mkfifo(system.top / "pipe")
    assert system.sysroot.image("/script") == NoImage(fault=Fault.NOT_ELF)
    assert system.sysroot.image("/empty") == NoImage(fault=Fault.NOT_ELF)
    assert system.sysroot.image("/folder") == NoImage(fault=Fault.NOT_ELF, reason="it is a folder")
    assert system.sysroot.image("/pipe") == NoImage(fault=Fault.NOT_ELF, reason="it is a named pipe")
    damaged = system.sysroot.image("/short")
    assert isinstance(damaged, NoImage)
    assert damaged.fault is Fault.UNREADABLE
    assert "e_ident" in damaged.reason


def test_a_file_that_may_not_be_opened(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    system.library("/lib/liba.so")

    def refuse(path: str, flags: int) -> int:
        raise PermissionError(13, f"Permission denied {flags}", path)

    sysroot = system.sysroot
    monkeypatch.setattr(os, "open", refuse)  # tests may run as root, whom no mode bits stop
    image = sysroot.image("/lib/liba.so")
    assert isinstance(image, NoImage)
    assert image.fault is Fault.UNREADABLE
    assert image.reason.startswith("Permission denied")
    with pytest.raises(InputError, match="cannot be read") as caught:
        sysroot.read("/lib/liba.so")
    assert caught.value.code == "unreadable-library"
    assert caught.value.context[0].startswith("Permission denied")


def test_read(system: System) -> None:
    content = build_elf(ElfSpec(soname="liba.so"))
    system.write("/lib/liba.so", content)
    system.symlink("/lib/libb.so", "liba.so")
    system.write("/lib/empty")
    large = content + bytes(1 << 19)
    system.write("/lib/large.so", large)
    assert bytes(system.sysroot.read("/lib/libb.so")) == content
    assert bytes(system.sysroot.read("/lib/large.so")) == large
    assert bytes(system.sysroot.read("/lib/empty")) == b""
    for path, expected in (("/lib/libb.so", content), ("/lib/large.so", large)):
        with system.sysroot.look(path) as data:
            assert bytes(data[:]) == expected
    assert b"".join(system.sysroot.pieces("/lib/large.so")) == large
    assert list(system.sysroot.pieces("/lib/empty")) == []


def test_a_file_may_have_as_many_bytes_as_the_reader_says(system: System) -> None:
    system.write("/etc/file", b"12345")
    overlay = Overlay(system.sysroot, {})
    for read in (system.sysroot.read, overlay.read):
        assert bytes(read("/etc/file", 5)) == b"12345"
        with pytest.raises(InputError) as caught:
            read("/etc/file", 4)
        assert caught.value.code == "oversized-file"
        assert caught.value.context == ("it has 5 bytes; the limit is 4",)


def test_a_library_is_read_as_the_one_whose_image_was_taken(system: System) -> None:
    path = system.library("/lib/liba.so", ElfSpec(soname="liba.so"))
    system.symlink("/lib/link.so", "liba.so")
    place, sysroot = system.top / path[1:], system.sysroot
    assert isinstance(sysroot.image("/lib/link.so"), ElfImage)
    contents = sysroot.read(path)
    place.write_bytes(place.read_bytes()[:100])
    assert bytes(contents) == build_elf(ElfSpec(soname="liba.so"))
    for spelling in (path, "/lib/link.so"):
        with pytest.raises(SystemFault, match=spelling) as caught:
            sysroot.read(spelling)
        with pytest.raises(SystemFault, match="was written to"), sysroot.look(spelling):
            pass
        with pytest.raises(SystemFault, match="was written to"):
            list(sysroot.pieces(spelling))
        assert caught.value.code == "library-changed"
    # Another file under the same name is another library, however much alike.
    system.library("/lib/other.so", ElfSpec(soname="liba.so"))
    os.utime(system.top / "lib/other.so", ns=(place.stat().st_atime_ns, place.stat().st_mtime_ns))
    (system.top / "lib/other.so").replace(place)
    with pytest.raises(SystemFault, match="was written to"):
        sysroot.read(path)


@pytest.mark.parametrize(("path", "reason"), [("/none", "No such file"), ("/lib", "a folder"), ("/nul\0", "null ")])
def test_read_says_what_is_wrong(system: System, path: str, reason: str) -> None:
    system.write("/lib/x")
    with pytest.raises(InputError) as caught:
        system.sysroot.read(path)
    assert caught.value.code == "unreadable-library"
    assert reason in caught.value.context[0]
    assert str(system.top) in caught.value.context[0]


def test_identity(system: System) -> None:
    system.write("/lib/a")
    system.symlink("/lib/b", "a")
    (system.top / "lib/c").hardlink_to(system.top / "lib/a")
    system.write("/lib/d")
    sysroot = system.sysroot
    assert len({sysroot.identity(f"/lib/{name}") for name in "abc"}) == 1
    assert sysroot.identity("/lib/d") != sysroot.identity("/lib/a")


def test_identity_of_a_file_that_is_gone(system: System) -> None:
    system.write("/lib/a")
    sysroot = system.sysroot
    assert sysroot.real_path("/lib/a") == "/lib/a"
    (system.top / "lib/a").unlink()
    assert sysroot.identity("/lib/a") == "/lib/a"


def test_list(system: System) -> None:
    system.write("/etc/b")
    system.write("/etc/a")
    assert system.sysroot.list("/etc") == ("a", "b")
    assert system.sysroot.list("/none") == ()
    assert system.sysroot.list("/etc/a") == ()


def test_overlay(system: System) -> None:
    system.library("/lib/libz.so.1", ElfSpec(soname="libz.so.1"))
    system.library("/.wheel/lib/hidden.so")
    image = image_of(ElfSpec(soname="own"))
    tree = FolderTree(top="/.wheel", folders=ancestors(["/.wheel/lib/pkg"]), links={"/.wheel/lib64": "/.wheel/lib"})
    overlay = Overlay(system.sysroot, {"/.wheel/lib/pkg/own.so": image}, tree)
    assert overlay.image("/.wheel/lib/pkg/own.so") is image
    for path in ("/.wheel/lib/pkg/../.././lib//pkg/own.so", "//.wheel/lib64/pkg/own.so"):
        assert overlay.image(path) is image
        assert overlay.real_path(path) == "/.wheel/lib/pkg/own.so"
        assert overlay.identity(path) == "/.wheel/lib/pkg/own.so"
    missing = ("/.wheel/lib/hidden.so", "/.wheel/lib/pkg", "/.wheel/../lib/libz.so.1", "/.wheel/x")
    for path in (*missing, "/.wheel/bin/../lib/pkg/own.so"):
        assert overlay.image(path) == NoImage(fault=Fault.MISSING)
        assert overlay.real_path(path) is None
    assert overlay.identity("/.wheel/bin/../lib/pkg/own.so") == "/.wheel/bin/../lib/pkg/own.so"
    assert isinstance(overlay.image("/lib/libz.so.1"), ElfImage)
    assert overlay.real_path("/lib/../lib/libz.so.1") == "/lib/libz.so.1"
    assert overlay.identity("/lib/libz.so.1") == system.sysroot.identity("/lib/libz.so.1")
    assert bytes(overlay.read("/lib/libz.so.1")) == (system.top / "lib/libz.so.1").read_bytes()
    assert overlay.list("/lib") == ("libz.so.1",)


def test_overlay_of_single_files(system: System) -> None:
    """Files of this machine that are not below the root are laid over it; the folders around them are as on disk."""
    system.library("/lib/libz.so.1", ElfSpec(soname="libz.so.1"))
    system.write("/lib/bin/tool")
    system.symlink("/usr/deep", "../lib/bin")
    inside, outside = image_of(ElfSpec(soname="in")), image_of(ElfSpec(soname="out"))
    overlay = Overlay(system.sysroot, {"/lib/own.so": inside, "/elsewhere/x/own.so": outside})
    for path in ("/lib/own.so", "/lib/bin/../own.so", "/usr/deep/../own.so"):
        assert overlay.image(path) is inside
        assert overlay.real_path(path) == "/lib/own.so"
        assert overlay.identity(path) == "/lib/own.so"
    assert overlay.image("/elsewhere/x/../x/own.so") is outside
    assert overlay.image("/lib/no/../own.so") == NoImage(fault=Fault.MISSING)
    assert overlay.real_path("/lib/libz.so.1") == "/lib/libz.so.1"


def test_overlay_of_nothing(system: System) -> None:
    system.library("/lib/libz.so.1")
    assert isinstance(Overlay(system.sysroot, {}).image("/lib/libz.so.1"), ElfImage)
