"""A changed wheel written: unchanged members as the source has them, changed ones compressed, RECORD anew."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import time
from collections import deque
from types import MappingProxyType

from deloc8.errors import UsageError, WheelError
from deloc8.text import printable
from deloc8.threads import executor as executor_of
from deloc8.values import NamedTuple, dataclass, field
from deloc8.wheel import codec
from deloc8.wheel.archive import Member, is_large
from deloc8.wheel.paths import collision, path_fault
from deloc8.wheel.record import SIGNATURES, RecordRow, hash_of, hash_text, render_record
from deloc8.wheel.zipformat import DEFLATED, STORED
from deloc8.wheel.zipwriter import ZipWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Executor, Future
    from contextlib import AbstractContextManager
    from pathlib import Path

    from deloc8.paths import StrPath
    from deloc8.wheel.archive import WheelArchive
    from deloc8.wheel.codec import Buffer

_FIRST_SECOND = 315_532_800  # 1980-01-01, the first and the last second that ZIP can tell
LAST_SECOND = 4_354_819_198  # 2107-12-31 23:59:58

_INLINE = 1 << 16  # unchanged members below this size are quicker proven than handed to a thread
_LITTLE = 1 << 20  # bytes of work in all that are done before threads have begun
_SIZE_OF_TEXT = 1 << 16  # of what is told about grafts: a licence, a bill of materials
_BUDGET = 128 << 20  # bytes of contents that may be under way at a time, but one member always may
_PER_THREAD = 3  # members under way for each thread


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMember:
    """A member that the source does not have.

    Attributes:
        name: Its path.
        content: Gives its contents; asked once, perhaps from another thread, when its turn has come.
        mode: Permission bits.
        size: About as many bytes: by this, memory and threads are given to it.
    """

    name: str
    content: Callable[[], Buffer]
    mode: int = 0o644
    size: int = _SIZE_OF_TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Changes to a wheel. RECORD is written anew in any case, and its signatures are dropped.

    Attributes:
        replaced: New contents of members, by path; asked once, perhaps from another thread, when their turn has come.
        added: New members.
        removed: Paths of members to leave out.
        hashes: The hashes of members, by path, whose contents have been read and proven; they are not read again.
        turn: Is held while a large unchanged member is read, so that one at a time has a temporary file.
    """

    replaced: Mapping[str, Callable[[], Buffer]] = field(default_factory=lambda: MappingProxyType({}))
    added: tuple[NewMember, ...] = ()
    removed: frozenset[str] = frozenset()
    hashes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    turn: AbstractContextManager[object] = field(default_factory=contextlib.nullcontext)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """How a wheel is written.

    Attributes:
        level: 1 (quick) to 9 (small), or 0 to store changed members uncompressed; by default as small as zlib's 6.
        all_members: Whether unchanged members are compressed anew, too; otherwise they keep their compressed bytes.
        threads: How many members are compressed at a time; the bytes do not depend on it.
        source_date_epoch: The time of all members, in seconds since 1970, of which ZIP knows those from 1980 to 2107:
            others count as the nearest; None keeps their own.
        spared: Files that the wheel must not replace, beside the one that it is made of.
    """

    level: int = field(default_factory=codec.usual_level)
    all_members: bool = False
    threads: int = 1
    source_date_epoch: int | None = None
    spared: tuple[StrPath, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenWheel:
    """Result of writing a wheel.

    Attributes:
        rows: The rows of its RECORD.
        sha256: The hash of the whole file, in hexadecimal digits.
        changed: The members that differ from the source or are new, in the order of the archive.
    """

    rows: tuple[RecordRow, ...]
    sha256: str
    changed: tuple[str, ...]


class _Job(NamedTuple):
    """A member to write: with the given contents, or as the source has it, perhaps compressed anew."""

    member: Member
    content: Callable[[], Buffer] | None
    is_anew: bool = False

    @property
    def weight(self) -> int:
        """The bytes of memory that it may take, as far as is known beforehand."""
        in_pieces = self.content is None and not self.is_anew and is_large(self.member.size)
        return codec.CHUNK if in_pieces else self.member.size


class _Packed(NamedTuple):
    """A member ready for the archive.

    Its data are those of the source where `data` is None, and `data` else, but compressed where `is_pending` says so.
    Data of the source are stored where the member says so, and otherwise keep their compressed bytes.
    """

    member: Member
    hash: str
    data: Buffer | None = None
    is_pending: bool = False


def write_wheel(target: Path, source: WheelArchive, changes: Changes, options: WriteOptions) -> WrittenWheel:
    """Write a wheel to `target`, which a failure leaves absent.

    Unchanged members keep their compressed bytes unless an option says otherwise, but are unpacked and hashed where
    their hash is not known, so that RECORD is true. The members keep their order, new ones follow the others of their
    folder, the .dist-info folder is last, and RECORD is the last of all.

    Raises:
        WheelError: A member of the source is damaged or absent, or a new one has a path that cannot be.
        UsageError: The target is the source.
        OSError: The target cannot be written.
    """
    if target.exists() and target.samefile(source.path):
        what = f"`{printable(str(target))}` cannot be written from itself"
        raise UsageError(what, code="target-is-source", hints=("choose another folder for the result",))
    jobs = _plan_jobs(source, changes, options)
    threads = options.threads if sum(job.weight for job in jobs) > _LITTLE else 1
    try:
        with target.open("wb", buffering=codec.CHUNK) as file, executor_of(threads) as executor:
            work = _Work(ZipWriter(file), source, options, executor, changes)
            work.run(jobs)
            return work.finish()
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _plan_jobs(source: WheelArchive, changes: Changes, options: WriteOptions) -> list[_Job]:
    """The members to write, in their order, without RECORD."""
    for name in (*changes.replaced, *changes.removed):
        source.member(name)
    metadata = source.dist_info + "/"
    dropped = {metadata + file for file in ("RECORD", *SIGNATURES)} | changes.removed
    ranked: list[tuple[tuple[bool, int, int], _Job]] = []
    last_of_folder: dict[str, int] = {}
    for index, member in enumerate(source.members):
        if member.name not in dropped:
            last_of_folder[_folder(member.name)] = index
            rank = member.name.startswith(metadata), index, 0
            content = changes.replaced.get(member.name)
            is_anew = content is None and options.all_members
            ranked.append((rank, _Job(_stamped(member, options), content, is_anew)))
    blank = _stamped(source.member(metadata + "WHEEL"), options)
    for index, new in enumerate(changes.added, 1):
        place = last_of_folder.get(_folder(new.name), len(source.members))
        rank = new.name.startswith(metadata), place, index
        ranked.append((rank, _Job(blank._replace(name=new.name, mode=new.mode, size=new.size), new.content)))
    jobs = [job for _, job in sorted(ranked, key=lambda pair: pair[0])]
    _check_names(changes.added, [job.member.name for job in jobs])
    return jobs


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _stamped(member: Member, options: WriteOptions) -> Member:
    """The member with the mode and the time that it will have."""
    if not member.mode:
        member = member._replace(mode=0o644)
    if options.source_date_epoch is None:
        return member
    moment = time.gmtime(min(max(options.source_date_epoch, _FIRST_SECOND), LAST_SECOND))
    return member._replace(date_time=moment[:6])


def _check_names(added: Iterable[NewMember], names: Iterable[str]) -> None:
    for new in added:
        fault = path_fault(new.name)
        if fault:
            raise WheelError(f"the path of a new member {fault}: `{printable(new.name)}`", code="unsafe-path")
    found = collision(names, ())
    if found:
        raise WheelError(f"the changed wheel {printable(found[1])}", code=found[0])


@dataclass(frozen=True, slots=True)
class _Work:
    """The work under way: members are packed by the executor's threads, and written by the caller's."""

    archive: ZipWriter
    source: WheelArchive
    options: WriteOptions
    executor: Executor | None
    changes: Changes
    rows: list[RecordRow] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)

    def run(self, jobs: Sequence[_Job]) -> None:
        """Write every job, in order; only so many are under way that memory stays small."""
        # The longest work begins first, or the other threads would wait for it in the end.
        heaviest = max(jobs, key=lambda job: (job.content is not None or job.is_anew, job.weight))
        early = {heaviest: self.executor.submit(self._pack, heaviest)} if self.executor else {}
        waiting: deque[tuple[_Job, Future[_Packed] | None]] = deque()
        weight = 0
        for job in jobs:
            while waiting and (len(waiting) >= _PER_THREAD * self.options.threads or weight + job.weight > _BUDGET):
                weight -= waiting[0][0].weight
                self._append(*waiting.popleft())
            future = early.get(job)
            if self.executor and not future and not self._is_quick(job):
                future = self.executor.submit(self._pack, job)
            waiting.append((job, future))
            weight += job.weight
        while waiting:
            self._append(*waiting.popleft())

    def _is_quick(self, job: _Job) -> bool:
        """Whether a member is small or keeps its bytes, so that a thread gains nothing."""
        if job.content is not None:
            return False
        is_known = job.member.name in self.changes.hashes and not job.is_anew
        return is_known or job.member.size < _INLINE

    def finish(self) -> WrittenWheel:
        """Write RECORD and the directory of the archive; the result of the whole."""
        record = self.source.member(f"{self.source.dist_info}/RECORD")
        rows = (*self.rows, RecordRow(record.name, "", None))
        self._append(_Job(_stamped(record, self.options), lambda: render_record(rows)), None)
        return WrittenWheel(rows=rows, sha256=self.archive.finish(), changed=tuple(self.changed))

    def _append(self, job: _Job, future: Future[_Packed] | None) -> None:
        member, digest, data, is_pending = self._pack(job) if future is None else future.result()
        if is_pending and data is not None and self.executor is not None:
            compress = functools.partial(codec.compress_chunk, data, level=self.options.level)
            starts = range(0, len(data), codec.CHUNK)
            member, _, data, _ = _smaller(member, digest, data, b"".join(self.executor.map(compress, starts)))
        self.archive.add(member, self._of_source(member) if data is None else (data,))
        self.rows.append(RecordRow(member.name, digest, member.size))
        if job.content is not None:
            self.changed.append(member.name)

    def _of_source(self, member: Member) -> Iterable[Buffer]:
        """The data of an unchanged member, as they go into the archive."""
        if member.method == STORED != self.source.member(member.name).method:
            return self.source.pieces(self.source.member(member.name))
        return self.source.iter_raw(member)

    def _pack(self, job: _Job) -> _Packed:
        member, content, is_anew = job
        known = self.changes.hashes.get(member.name)
        if is_anew:
            return self._pack_anew(member, known)
        if content is None:
            return _Packed(member, known or self._proven_hash(member))
        data = content()
        size = len(data)
        member = member._replace(size=size, compressed_size=size, crc=codec.crc32(data), method=STORED)
        if not self.options.level:
            return _Packed(member, hash_of(data), data)
        if self.executor is not None and codec.is_chunked(size):
            return _Packed(member, hash_of(data), data, is_pending=True)
        # Of a large member the hash takes long enough for another thread, if one is free.
        hashing = self.executor.submit(hash_of, data) if self.executor and is_large(size) else None
        compressed = codec.compress(data, self.options.level)
        digest = hash_of(data) if hashing is None or hashing.cancel() else hashing.result()
        return _smaller(member, digest, data, compressed)

    def _pack_anew(self, member: Member, known: str | None) -> _Packed:
        """An unchanged member, compressed as the options say."""
        stored = member._replace(compressed_size=member.size, method=STORED)
        if not self.options.level:
            return _Packed(stored, known or self._proven_hash(member))
        with self.changes.turn if is_large(member.size) else contextlib.nullcontext():
            data = self.source.read(member)
            digest = known or hash_of(data)
            compressed = codec.compress(data, self.options.level)
        if len(compressed) >= member.size:
            return _Packed(stored, digest)
        return _Packed(member._replace(compressed_size=len(compressed), method=DEFLATED), digest, compressed)

    def _proven_hash(self, member: Member) -> str:
        hasher = hashlib.sha256()
        for piece in self.source.pieces(member):
            hasher.update(piece)
        return hash_text(hasher.digest())


def _smaller(member: Member, digest: str, data: Buffer, compressed: Buffer) -> _Packed:
    """The member with its data compressed, if that saves anything."""
    if len(compressed) >= len(data):
        return _Packed(member, digest, data)
    return _Packed(member._replace(compressed_size=len(compressed), method=DEFLATED), digest, compressed)
