"""Where the loader looks: a root folder of some system, and the members of a wheel laid over it.

Every path is an absolute string as it is seen inside the root. This is the only module of the loader that touches
the file system.
"""

from __future__ import annotations

import enum
import errno
import os
import stat
from contextlib import contextmanager

from deloc8.elf.constants import ELF_MAGIC
from deloc8.elf.read.image import ElfImage, parse
from deloc8.errors import ElfError, InputError, UsageError
from deloc8.faults import changed, refuse_fault
from deloc8.files import NotAFileError, open_file
from deloc8.loader.folders import FolderTree, folders_of
from deloc8.loader.openfile import OpenFile
from deloc8.values import Protocol, dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping
    from pathlib import Path

    from deloc8.elf.read.view import Buffer, Readable
    from deloc8.paths import StrPath


class Fault(enum.Enum):
    """Why a path gives no ELF image."""

    MISSING = "missing"
    NOT_ELF = "not an ELF file"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoImage:
    """A path that gives no ELF image; `reason` is for a human reader, empty where the fault says it all."""

    fault: Fault
    reason: str = ""


class Files(Protocol):
    """Operations on a file system that the search for libraries needs."""

    def real_path(self, path: str) -> str | None:
        """The path without symlinks and dots; None where nothing stands there."""
        ...

    def image(self, path: str) -> ElfImage | NoImage:
        """The ELF file at a path, or why there is none."""
        ...

    def identity(self, path: str) -> Hashable:
        """Identity of the file at a path: equal for two paths that lead to the same file."""
        ...

    def read(self, path: str, most: int | None = None) -> Buffer:
        """The whole contents of a file; `most` is how many bytes it may have.

        Raises:
            InputError: It cannot be read, or has more.
        """
        ...

    def list(self, folder: str) -> tuple[str, ...]:
        """The sorted names in a folder; none where it is missing or unreadable."""
        ...


_MISSING = NoImage(fault=Fault.MISSING)

# The kernel follows this many symlinks in one path (MAXSYMLINKS in include/linux/namei.h), then gives up.
_MOST_LINKS = 40


class Sysroot:
    """The file system below a root folder.

    A symlink is followed inside the root: an absolute one begins at the root again, and `..` never leaves it. Files are
    read when they are asked for and remembered; a change on disk after that is not seen.
    """

    def __init__(self, root: StrPath = "/", output: tuple[int, int] | None = None) -> None:
        """Look at a root.

        Args:
            root: The folder that stands for `/`.
            output: Device and inode of a file that will be written to: to read it is an error.
        """
        self._output = output
        real = os.path.realpath(root)
        self._root = "" if real == "/" else real
        self._real: dict[str, str | None] = {}
        self._folders: dict[str, str | None] = {}
        self._images: dict[str, ElfImage | NoImage] = {}
        self._stamps: dict[str, tuple[int, ...]] = {}
        self._identities: dict[str, Hashable] = {}

    def real_path(self, path: str) -> str | None:
        """The path without symlinks and dots; None where nothing stands there, and where symlinks run in a circle."""
        try:
            return self._real[path]
        except KeyError:
            real = self._real[path] = self._resolve(path)
            return real

    def image(self, path: str) -> ElfImage | NoImage:
        """The ELF file at a path, or why there is none."""
        real = self.real_path(path)
        if real is None:
            return _MISSING
        image = self._images.get(real)
        if image is None:
            image = self._images[real] = self._load(real)
        return image

    def identity(self, path: str) -> Hashable:
        """Device and inode, so that hard links count as one file; the path itself where nothing stands there."""
        real = self.real_path(path)
        if real is None:
            return path
        if real not in self._identities:
            try:
                status = os.lstat(self._root + real)
            except OSError as error:
                refuse_fault(error, real)
                return real  # it is gone since it was resolved
            self._identities[real] = (status.st_dev, status.st_ino)
        return self._identities[real]

    def read(self, path: str, most: int | None = None) -> Buffer:
        """The whole contents of a file, a copy that is the caller's; `most` is how many bytes it may have.

        Raises:
            InputError: It cannot be read (`unreadable-library`), or has more bytes (`oversized-file`).
            SystemFault: It is another one than when its image was taken, or is written to meanwhile
                (`library-changed`); or the machine does not read it.
        """
        with self._open(path) as file:
            if most is not None and file.size > most:
                raise _oversized(path, file.size, most)
            return file.copy()

    @contextmanager
    def look(self, path: str) -> Iterator[Readable]:
        """The contents of a file, read as far as the block asks for them.

        Raises:
            InputError, SystemFault: As for `read`.
        """
        with self._open(path) as file:
            yield file.contents()

    def pieces(self, path: str) -> Iterator[bytes]:
        """The contents of a file, a piece at a time: for whoever does not keep them.

        Raises:
            InputError, SystemFault: As for `read`.
        """
        with self._open(path) as file:
            yield from file.pieces()

    def _open(self, path: str) -> OpenFile:
        """A file, if it is the one whose image was taken."""
        real = self.real_path(path) or path
        try:
            file = self._file(real, path)
        except (OSError, ValueError) as error:
            refuse_fault(error, path)
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise InputError(
                f"`{path}` cannot be read",
                code="unreadable-library",
                context=(f"{reason} ({self._root}{path})",),
                hints=("check that the file is there and that you may read it",),
            ) from error
        expected = self._stamps.get(real)
        if expected is not None and expected != file.stamp:
            file.close()
            raise changed(path, "library-changed")
        return file

    def host_path(self, path: str) -> Path:
        """Where a path stands on this machine, with the symlinks on the way followed."""
        from pathlib import Path  # noqa: PLC0415  few ask

        return Path(self._root + (self.real_path(path) or path))

    def list(self, folder: str) -> tuple[str, ...]:
        """The sorted names in a folder; none where it is missing or unreadable."""
        real = self.real_path(folder)
        if real is None:
            return ()
        try:
            return tuple(sorted(os.listdir(self._root + real)))  # noqa: PTH208 - half the time of building Path objects
        except OSError as error:
            refuse_fault(error, folder)
            return ()

    def _file(self, real: str, name: str) -> OpenFile:
        """A file by its real path.

        Raises:
            OSError, ValueError: As of `open_file`.
            UsageError: It is what the output would be written over.
        """
        descriptor, status = open_file(self._root + real)
        if self._output == (status.st_dev, status.st_ino):
            os.close(descriptor)
            raise output_is_input(self._root + real)
        return OpenFile(descriptor, status, name)

    def _resolve(self, path: str) -> str | None:
        folder, _, name = path.rpartition("/")
        if name in {"", ".", ".."}:
            return self._walk(path)
        # Most paths are many names in few folders: the folder is resolved once.
        try:
            real_folder = self._folders[folder]
        except KeyError:
            real_folder = self._folders[folder] = self._walk(folder)
        return None if real_folder is None else self._walk(name, real_folder.rstrip("/"))

    def _walk(self, path: str, start: str = "") -> str | None:
        """The real path, reached from a real folder by one step for each part of a path."""
        real = start
        pending = path.split("/")[::-1]
        links = 0
        while pending:
            part = pending.pop()
            if part in {"", ".", ".."}:
                if real and not self._is_folder(real):
                    return None
                if part == "..":
                    real = real.rpartition("/")[0]
                continue
            try:
                target = os.readlink(f"{self._root}{real}/{part}")  # noqa: PTH115 - done for every part of every path
            except OSError as error:
                if error.errno != errno.EINVAL:  # EINVAL: it is there and is no symlink
                    refuse_fault(error, f"{real}/{part}")
                    return None
                real = f"{real}/{part}"
                continue
            except ValueError:  # a NUL, or a character that no file name on this machine has
                return None
            links += 1
            if links > _MOST_LINKS:
                return None
            if target.startswith("/"):
                real = ""
            pending.extend(target.split("/")[::-1])
        return real or "/"

    def _is_folder(self, real: str) -> bool:
        try:
            return stat.S_ISDIR(os.stat(self._root + real).st_mode)  # noqa: PTH116 - done often
        except OSError as error:
            refuse_fault(error, real)
            return False

    def _load(self, real: str) -> ElfImage | NoImage:
        try:
            file = self._file(real, real)
        except NotAFileError as error:
            return NoImage(fault=Fault.NOT_ELF, reason=error.strerror or "")
        except OSError as error:
            refuse_fault(error, real)
            return NoImage(fault=Fault.UNREADABLE, reason=error.strerror or str(error))
        with file:
            data = file.contents()
            if data[:4] != ELF_MAGIC:
                return NoImage(fault=Fault.NOT_ELF)
            try:
                image = parse(data, real)
            except ElfError as error:
                return NoImage(fault=Fault.UNREADABLE, reason="; ".join(error.context))
        self._stamps[real] = file.stamp
        return image


class Overlay:
    """Members of a wheel at virtual paths, laid over a file system.

    The members are below a top folder of their own, such as ``/.wheel``. In it nothing else exists: the machine's own
    files are not seen there, and a path that leaves it by `..` leads nowhere, because it is not known where the wheel
    will be installed.
    """

    def __init__(self, files: Files, images: Mapping[str, ElfImage], folders: FolderTree | None = None) -> None:
        """Lay `images` over `files`.

        Args:
            files: The file system.
            images: The members by their real paths.
            folders: The folders that the members are in, whose top folder hides that of the file system. None: each
                member is alone in the file system.
        """
        self._files = files
        self._images = images
        self._top = folders.top + "/" if folders else None
        self._folders = folders or FolderTree(top="", folders=folders_of(images))

    def _place(self, path: str) -> str | None:
        """The real path of a member, or of nothing below the top folder; None for what is the file system's."""
        folder, _, name = path.rpartition("/")
        if self._top is not None:
            if not f"/{path.lstrip('/')}".startswith(self._top):
                return None
            real = self._folders.find(folder)
            return f"{real}/{name}" if real else ""
        for real in (self._folders.find(folder), self._files.real_path(folder)):
            if real is not None and f"{real.rstrip('/')}/{name}" in self._images:
                return f"{real.rstrip('/')}/{name}"
        return None

    def real_path(self, path: str) -> str | None:
        """The path without dots and links for a member; else the underlying real path."""
        place = self._place(path)
        if place is None:
            return self._files.real_path(path)
        return place if place in self._images else None

    def image(self, path: str) -> ElfImage | NoImage:
        """The ELF file at a path, or why there is none."""
        place = self._place(path)
        return self._files.image(path) if place is None else self._images.get(place, _MISSING)

    def identity(self, path: str) -> Hashable:
        """A member is itself; other files are what they are below."""
        place = self._place(path)
        return self._files.identity(path) if place is None else place or path

    def read(self, path: str, most: int | None = None) -> Buffer:
        """The whole contents of an underlying file; members are read from their archive.

        Raises:
            InputError: It cannot be read, or has more than `most` bytes.
        """
        return self._files.read(path, most)

    def list(self, folder: str) -> tuple[str, ...]:
        """The sorted names in an underlying folder."""
        return self._files.list(folder)


def output_is_input(path: str) -> UsageError:
    """The error for an output that would be written over something that is read."""
    return UsageError(
        f"the output would be written over `{path}`, which is an input",
        code="output-is-input",
        hints=("name another file with -o",),
    )


def _oversized(path: str, size: int, most: int) -> InputError:
    return InputError(
        f"`{path}` is larger than such a file can be",
        code="oversized-file",
        context=(f"it has {size} bytes; the limit is {most}",),
        hints=("look at what this system has in its place",),
    )
