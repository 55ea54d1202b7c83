"""The archive of a wheel, read on demand: nothing is unpacked to a folder."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from deloc8.errors import InputError, VerificationError, WheelError
from deloc8.faults import changed, is_of_a_path, read_fault
from deloc8.files import fill, open_file, stamp
from deloc8.paths import file_name
from deloc8.text import printable
from deloc8.wheel import codec
from deloc8.wheel.codec import Buffer, StreamError
from deloc8.wheel.limits import LARGEST_METADATA, LARGEST_RECORD, LARGEST_WHEEL, LONGEST_PATH
from deloc8.wheel.names import WheelName, normalize_name, parse_wheel_name
from deloc8.wheel.paths import collision, path_fault
from deloc8.wheel.zipformat import STORED, ArchiveLimits, Member, read_members, unsound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from deloc8.errors import SystemFault
    from deloc8.paths import StrPath

__all__ = ["ArchiveLimits", "Buffer", "Member", "WheelArchive", "WheelName", "is_large", "open_wheel"]

LARGE_MEMBER = 32 << 20  # bytes; not for others, who ask `is_large`
_AT_ONCE = 4 << 20  # contents up to this size are one piece: unpacking them at once is quicker
_STEP = 1 << 18  # compressed bytes per step of reading a large member
_FIRST_STEP = 320  # enough compressed bytes to see the first four of the contents; 64 are not

# Each with the codes of the errors that it is missing, and that it is too large.
_NEEDED_FILES = (
    ("WHEEL", "missing-wheel-file", "bad-wheel-metadata", LARGEST_WHEEL),
    ("METADATA", "missing-metadata", "bad-metadata", LARGEST_METADATA),
    ("RECORD", "missing-record", "bad-record", LARGEST_RECORD),
)
_SHOWN = 10  # of things whose number is the fault


def is_large(size: int) -> bool:
    """Whether a member of so many bytes is read into an unlinked temporary file and mapped, to keep memory small."""
    return size > LARGE_MEMBER


class WheelArchive:
    """A wheel whose archive has been found sound. Use `open_wheel`, and close it, best by a `with` statement.

    Reading is safe from several threads at once.

    Attributes:
        path: The file.
        name: The parts of its name.
        members: Its files, in the order of the archive.
        dist_info: The folder of its metadata, such as ``numpy-2.0.dist-info``.
        limits: How large it was allowed to be.
    """

    def __init__(self, name: WheelName, source: _OpenFile, members: tuple[Member, ...], limits: ArchiveLimits) -> None:
        self.path = source.path
        self.name = name
        self.members = members
        self.dist_info = _find_dist_info(source, name, members)
        self.limits = limits
        self._source = source
        self._by_name = {member.name: member for member in members}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is not None and issubclass(kind, (InputError, VerificationError)):
                # Of what is half old and half new, what seems wrong with it means nothing.
                self.refuse_change()
        finally:
            self.close()

    def close(self) -> None:
        """Close the file; contents that were read stay valid."""
        self._source.close()

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    @property
    def has_changed(self) -> bool:
        """Whether somebody has written to the file since it was opened."""
        return self._source.has_changed

    def refuse_change(self) -> None:
        """Make sure that nobody has written to the file since it was opened.

        Raises:
            SystemFault: Code ``wheel-changed``: somebody has.
        """
        if self.has_changed:
            raise changed(self._source.name, "wheel-changed")

    @property
    def data_folder(self) -> str:
        """The folder of what goes elsewhere, such as ``numpy-2.0.data``; the wheel need not have it."""
        return self.dist_info.removesuffix("dist-info") + "data"

    def member(self, name: str) -> Member:
        """The member of that path.

        Raises:
            WheelError: Code ``missing-member``: there is none.
        """
        if name not in self._by_name:
            raise unsound(self._source, "missing-member", f"has no member `{name}`")
        return self._by_name[name]

    def peek(self, member: Member, size: int = 4) -> bytes:
        """The first bytes of a member's contents, at most `size`; its checksum is not proven.

        Raises:
            WheelError: Code ``bad-member-data``: they cannot be unpacked.
        """
        if member.method == STORED:
            return self._source.read(member.data_offset, min(size, member.size))
        try:
            return codec.first_bytes(self._steps(member, _FIRST_STEP), min(size, member.size))
        except StreamError as error:
            raise self._bad_data(member, error) from None

    def read(self, member: Member) -> Buffer:
        """The contents of a member, proven by size and checksum; those of a large one as a read-only map.

        Raises:
            WheelError: Code ``bad-member-data``: they are not what the archive announces.
        """
        if is_large(member.size):
            from deloc8.wheel.mapped import mapped  # noqa: PLC0415  few wheels have large members

            return mapped(self.pieces(member), member.size)
        if member.method == STORED:
            return b"".join(self.pieces(member))
        try:
            framed = bytearray(codec.HEADER + member.compressed_size + codec.FOOTER)
            self._source.read_into(memoryview(framed)[codec.HEADER : -codec.FOOTER], member.data_offset)
            return codec.decompress(framed, member.size, member.crc)
        except StreamError as error:
            raise self._bad_data(member, error) from None

    def pieces(self, member: Member) -> Iterator[Buffer]:
        """The contents of a member, a few megabytes at a time at most; proven when the last piece has come.

        Raises:
            WheelError: Code ``bad-member-data``: they are not what the archive announces.
        """
        crc = 0
        stored = member.method == STORED
        if not stored and member.size <= min(_AT_ONCE, LARGE_MEMBER):
            yield self.read(member)
            return
        chunks = self.iter_raw(member)
        try:
            for piece in chunks if stored else codec.inflate(chunks, member.size):
                crc = codec.crc32(piece, crc)
                yield piece
        except StreamError as error:
            raise self._bad_data(member, error) from None
        if crc != member.crc:
            raise self._bad_data(member, StreamError("has a wrong checksum"))

    def whole(self) -> Iterator[bytes]:
        """The bytes of the whole file, some at a time."""
        for start in range(0, self._source.size, _STEP):
            yield self._source.read(start, min(_STEP, self._source.size - start))

    def raw(self, member: Member) -> bytes:
        """The bytes of a member as they stand in the archive, compressed or not."""
        return self._source.read(member.data_offset, member.compressed_size)

    def iter_raw(self, member: Member) -> Iterator[bytes]:
        """The bytes of a member as they stand in the archive, some at a time."""
        return self._steps(member, _STEP)

    def is_copied(self, member: Member, other: WheelArchive) -> bool:
        """Whether a member stands in another archive under the same name with the same bytes, as they are packed."""
        if member.name not in other:
            return False
        copy = other.member(member.name)
        if (copy.crc, copy.size, copy.method, copy.compressed_size) != (
            member.crc,
            member.size,
            member.method,
            member.compressed_size,
        ):
            return False
        if member.compressed_size <= _STEP:
            return self.raw(member) == other.raw(copy)
        return all(one == two for one, two in zip(self.iter_raw(member), other.iter_raw(copy), strict=True))

    def _steps(self, member: Member, first: int) -> Iterator[bytes]:
        position, end, step = member.data_offset, member.data_offset + member.compressed_size, first
        while position < end:
            chunk = self._source.read(position, min(step, end - position))
            position += len(chunk)
            step = min(4 * step, _STEP)
            yield chunk

    def _bad_data(self, member: Member, error: StreamError) -> WheelError:
        return unsound(
            self._source,
            "bad-member-data",
            f"has a damaged member: `{member.name}`",
            f"its data at offset {member.data_offset} {error}",
        )


def open_wheel(
    path: StrPath,
    limits: ArchiveLimits = ArchiveLimits(),  # noqa: B008  a frozen value
    *,
    name: WheelName | None = None,
) -> WheelArchive:
    """The archive of a wheel, found sound before a single member is unpacked.

    Args:
        path: The file.
        limits: How large it may be.
        name: What its name will be; None: what it is.

    Raises:
        WheelError: The file cannot be read, is no wheel by its name, or its archive is one that should not be
            unpacked: damaged, ambiguous, with unsafe paths, too large, or without the files that make it a wheel.
    """
    name = name or parse_wheel_name(file_name(path))
    source = _OpenFile(path)
    try:
        entries = read_members(source, limits)
        _check_sizes(source, entries, limits)
        return WheelArchive(name, source, _check_paths(source, entries, limits), limits)
    except BaseException:
        source.close()
        raise


class _OpenFile:
    """A file on disk as a `zipformat.Source`."""

    def __init__(self, path: StrPath) -> None:
        self.path = path
        self.name = file_name(path)
        try:
            self._descriptor, status = open_file(path)
        except OSError as error:
            if not is_of_a_path(error):
                raise self._fault(error) from error
            raise self._unreadable(error.strerror or "") from None
        except ValueError as error:
            raise self._unreadable(str(error)) from None
        self.size = status.st_size
        self._stamp = stamp(status)

    @property
    def has_changed(self) -> bool:
        """Whether somebody has written to it since it was opened."""
        try:
            return stamp(os.fstat(self._descriptor)) != self._stamp
        except OSError as error:
            raise self._fault(error) from error

    def close(self) -> None:
        """Close the file, once; what was read of it is as good if that fails."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset`.

        Raises:
            SystemFault: The machine does not give them, or they are not there any more.
        """
        try:
            data = os.pread(self._descriptor, size, offset)
        except OSError as error:
            raise self._fault(error) from error
        if len(data) == size:
            return data
        whole = bytearray(size)
        self.read_into(memoryview(whole), offset)
        return bytes(whole)

    def read_into(self, room: memoryview, offset: int) -> None:
        """Fill some room with the bytes from `offset`.

        Raises:
            SystemFault: As of `read`.
        """
        try:
            done = fill(room, self._descriptor, offset)
        except OSError as error:
            raise self._fault(error) from error
        if done < len(room):
            raise changed(self.name, "wheel-changed")

    def _fault(self, error: OSError) -> SystemFault:
        return read_fault(error, self.name, self.path)

    def _unreadable(self, why: str) -> WheelError:
        return WheelError(
            f"`{printable(self.name)}` cannot be read",
            code="unreadable-wheel",
            context=(f"{printable(str(self.path))}: {why}",),
            hints=("give the path of a wheel that exists and may be read",),
        )


def _check_sizes(source: _OpenFile, members: Sequence[Member], limits: ArchiveLimits) -> None:
    total = 0
    for member in members:
        total += member.size
        if member.size > codec.MAX_RATIO * (member.compressed_size + 1):
            what = f"{member.compressed_size} bytes cannot hold {member.size}"
            raise unsound(source, "bad-member-size", f"lies about the size of `{member.name}`", what)
    if total > limits.total:
        what = f"would unpack to {total} bytes; the limit is {limits.total}"
        raise _bomb(source, what)
    if total > limits.ratio_from and total > limits.ratio * source.size:
        what = (
            f"would unpack to {total} bytes, {total // source.size} times its size; the limit is {limits.ratio} times"
        )
        raise _bomb(source, what)


def _bomb(source: _OpenFile, what: str) -> WheelError:
    error = unsound(source, "compression-bomb", what)
    error.hints = (*error.hints, "if it is as large as it should be, pass --max-unpacked with that many bytes")
    return error


def _check_paths(source: _OpenFile, entries: Sequence[Member], limits: ArchiveLimits) -> tuple[Member, ...]:
    """The entries that are files, once the paths and kinds of all have been found harmless."""
    members = []
    folders = []
    for entry in entries:
        is_folder = entry.name.endswith("/")
        path = entry.name[:-1] if is_folder else entry.name
        fault = path_fault(path)
        if fault:
            shown = entry.name if len(entry.name) <= LONGEST_PATH else f"{entry.name[:LONGEST_PATH]}..."
            raise unsound(source, "unsafe-path", f"has a member whose path {fault}: `{shown}`")
        kind = stat.S_IFMT(entry.mode)
        if kind not in {0, stat.S_IFDIR if is_folder else stat.S_IFREG}:
            code, what = (
                ("symlink-member", "a symbolic link")
                if stat.S_ISLNK(entry.mode)
                else ("special-member", "no plain file")
            )
            raise unsound(source, code, f"has a member that is {what}: `{entry.name}`", "wheels hold plain files only")
        if not is_folder:
            members.append(entry)
        elif entry.size:
            raise unsound(source, "special-member", f"has a folder with contents: `{entry.name}`")
        else:
            folders.append(path)
    found = collision((member.name for member in members), folders, limits.folders)
    if found:
        raise unsound(source, *found)
    return tuple(members)


def _find_dist_info(source: _OpenFile, name: WheelName, members: Sequence[Member]) -> str:
    tops = {member.name.partition("/")[0] for member in members if ".dist-info/" in member.name}
    folders = sorted(top for top in tops if top.endswith(".dist-info"))
    if not folders:
        raise unsound(source, "missing-dist-info", "has no .dist-info folder", "without one it is no wheel")
    if len(folders) > 1:
        raise unsound(
            source, "several-dist-info", f"has {len(folders)} .dist-info folders", ", ".join(folders[:_SHOWN])
        )
    folder = folders[0]
    owner = folder.removesuffix(".dist-info").rpartition("-")[0]
    if normalize_name(owner) != normalize_name(name.distribution):
        what = f"belongs to {name.distribution} by its name, and to {owner} by its folder {folder}"
        raise unsound(source, "dist-info-mismatch", what)
    sizes = {member.name: member.size for member in members if member.name.startswith(folder)}
    for file, code, code_of_size, limit in _NEEDED_FILES:
        path = f"{folder}/{file}"
        if path not in sizes:
            raise unsound(source, code, f"has no {file}", f"`{path}` must be among its members")
        if sizes[path] > limit:
            what = f"has a {file} of {sizes[path]} bytes; the limit is {limit}"
            raise unsound(source, code_of_size, what)
    return folder
