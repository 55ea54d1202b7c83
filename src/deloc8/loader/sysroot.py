"""Where the loader looks: a root folder of some system, and the members of a wheel laid over it.

Every path is an absolute string as it is seen inside the root. This is the only module of the loader that touches
the file system.
"""

from __future__ import annotations

import enum
import errno
import io
import mmap
import os
from contextlib import contextmanager

from deloc8.elf.constants import ELF_MAGIC
from deloc8.elf.image import ElfImage, parse
from deloc8.errors import ElfError, InputError
from deloc8.files import NotAFileError, open_file
from deloc8.loader.folders import FolderTree, folders_of
from deloc8.values import Protocol, dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping
    from pathlib import Path

    from deloc8.elf.view import Buffer
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
    """What the search for libraries asks of a file system."""

    def real_path(self, path: str) -> str | None:
        """The path without symlinks and dots; None where nothing stands there."""
        ...

    def image(self, path: str) -> ElfImage | NoImage:
        """The ELF file at a path, or why there is none."""
        ...

    def identity(self, path: str) -> Hashable:
        """What two paths have in common when they lead to the same file."""
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

_SMALL = 1 << 16  # files up to this size are quicker read than mapped
_PIECE = 1 << 18  # small enough to stay in the processor's cache until it has been looked at


class Sysroot:
    """The file system below a root folder.

    A symlink is followed inside the root: an absolute one begins at the root again, and `..` never leaves it. Files are
    read when they are asked for and remembered; a change on disk after that is not seen.
    """

    def __init__(self, root: StrPath = "/") -> None:
        """`root` is the folder that stands for `/`."""
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
            except OSError:  # it is gone since it was resolved
                return real
            self._identities[real] = (status.st_dev, status.st_ino)
        return self._identities[real]

    def read(self, path: str, most: int | None = None) -> Buffer:
        """The whole contents of a file; `most` is how many bytes it may have.

        Those of a file whose image was taken, and of small ones, are a copy, on which a later change on disk has no
        effect; those of others are mapped, and the mapping is released with its last reference.

        Raises:
            InputError: It cannot be read (`unreadable-library`), has more bytes (`oversized-file`), or is not the file
                any more whose image was taken (`library-changed`).
        """
        with self._found(path) as (descriptor, status, is_known):
            if most is not None and status.st_size > most:
                raise _oversized(path, status.st_size, most)
            return _copy(descriptor, status.st_size) if is_known else _map(descriptor, status)

    def look(self, path: str) -> Buffer:
        """The contents of a file, mapped, for whoever lets go of them before anything else is done.

        Raises:
            InputError: As for `read`.
        """
        with self._found(path) as (descriptor, status, _):
            return _map(descriptor, status)

    def pieces(self, path: str) -> Iterator[bytes]:
        """The contents of a file, a piece at a time: for whoever does not keep them.

        Raises:
            InputError: As for `read`.
        """
        with self._found(path) as (descriptor, _, _):
            while piece := os.read(descriptor, _PIECE):
                yield piece

    @contextmanager
    def _found(self, path: str) -> Iterator[tuple[int, os.stat_result, bool]]:
        """A descriptor of a file, what the system says of it, and whether its image was taken before."""
        real = self.real_path(path) or path
        try:
            with _opened(self._root + real) as (descriptor, status):
                expected = self._stamps.get(real)
                if expected not in {None, _stamp(status)}:
                    raise library_changed(path)
                yield descriptor, status, expected is not None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise InputError(
                f"`{path}` cannot be read",
                code="unreadable-library",
                context=(f"{reason} ({self._root}{path})",),
                hints=("check that the file is there and that you may read it",),
            ) from error

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
        except OSError:
            return ()

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
                if real and not os.path.isdir(self._root + real):  # noqa: PTH112 - done often
                    return None
                if part == "..":
                    real = real.rpartition("/")[0]
                continue
            try:
                target = os.readlink(f"{self._root}{real}/{part}")  # noqa: PTH115 - done for every part of every path
            except OSError as error:
                if error.errno != errno.EINVAL:  # EINVAL: it is there and is no symlink
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

    def _load(self, real: str) -> ElfImage | NoImage:
        try:
            with _opened(self._root + real) as (descriptor, status):
                data = _map(descriptor, status)
        except NotAFileError as error:
            return NoImage(fault=Fault.NOT_ELF, reason=error.strerror or "")
        except OSError as error:
            return NoImage(fault=Fault.UNREADABLE, reason=error.strerror or str(error))
        if data[:4] != ELF_MAGIC:
            return NoImage(fault=Fault.NOT_ELF)
        try:
            image = parse(data, real)  # an image keeps no reference to the mapping: it ends here
        except ElfError as error:
            return NoImage(fault=Fault.UNREADABLE, reason="; ".join(error.context))
        self._stamps[real] = _stamp(status)
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


def library_changed(path: str) -> InputError:
    """The error for a library that is another one than a moment ago."""
    return InputError(
        f"`{path}` has changed while the wheel was being repaired",
        code="library-changed",
        context=("its contents are not those that the plan was made for",),
        hints=("run the repair again when nothing installs or builds libraries at the same time",),
    )


def _oversized(path: str, size: int, most: int) -> InputError:
    return InputError(
        f"`{path}` is larger than such a file can be",
        code="oversized-file",
        context=(f"it has {size} bytes; the limit is {most}",),
        hints=("look at what this system has in its place",),
    )


@contextmanager
def _opened(path: str) -> Iterator[tuple[int, os.stat_result]]:
    """A descriptor of a regular file, and what the system says of it; raises OSError and ValueError as `open_file`."""
    descriptor, status = open_file(path)
    try:
        yield descriptor, status
    finally:
        os.close(descriptor)


def _copy(descriptor: int, size: int) -> bytearray:
    """The bytes of a file: one copy, which is the caller's and may be changed."""
    data = bytearray(size)
    view, filled = memoryview(data), 0
    with io.FileIO(descriptor, closefd=False) as file:
        while step := file.readinto(view[filled:]):
            filled += step
    view.release()
    del data[filled:]
    return data


def _map(descriptor: int, status: os.stat_result) -> Buffer:
    if status.st_size <= _SMALL:
        return os.read(descriptor, status.st_size)
    return mmap.mmap(descriptor, status.st_size, access=mmap.ACCESS_READ)


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    """What changes when a file is replaced or written to."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
