"""A file that appears whole or not at all: written beside its place, then renamed into it."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from itertools import takewhile

from deloc8.ending import STEADY, undone_by
from deloc8.faults import output_error, refuse_fault, write_fault
from deloc8.patterns import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from deloc8.wheel.archive import WheelArchive

_ATTEMPTS = 100
_TEMPORARY = pattern(r"(\.deloc8-[0-9a-f]{16}\.tmp)(-\w+)?")


class Stage:
    """A temporary file beside its place, locked as long as its process works on it.

    A folder beside it whose name continues the file's after a hyphen (`workroom`) lives no longer than the file.

    Attributes:
        path: Where to write: into the file that is there, or the lock is lost.
        place: Where it will stand.
    """

    def __init__(self, place: Path, noted: list[Path]) -> None:
        """Make the file; its path is added to what is noted before."""
        self.place = place
        self.path, self._lock = _claim(place.parent, noted)

        self._is_done = False

    def commit(self) -> None:
        """Put the file into its place, replacing what stands there in one step."""
        os.replace(self.path, self.place)  # noqa: PTH105  `Path.replace` would do the same
        self._is_done = True

    def close(self) -> None:
        """Remove the file, unless it has gone into its place."""
        try:
            if not self._is_done:
                self.path.unlink(missing_ok=True)
        finally:
            # It was written through another descriptor, whose closing has told what there was to tell.
            with suppress(OSError):
                os.close(self._lock)


def _claim(folder: Path, noted: list[Path]) -> tuple[Path, int]:
    """A new file and the descriptor that holds its lock; the system drops the lock when the process dies."""
    while True:
        path = folder / f".deloc8-{os.urandom(8).hex()}.tmp"
        noted.append(path)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        with suppress(OSError):  # a file system without locks: nobody can take it for abandoned there either
            fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return path, lock
        os.close(lock)  # another process swept it away before it was locked


def workroom(path: Path) -> TemporaryDirectory[str]:
    """A folder for other programs to work in, beside the temporary file of a stage; removed with all that is in it."""
    import tempfile  # noqa: PLC0415  few runs need one

    with STEADY:
        return tempfile.TemporaryDirectory(prefix=f"{path.name}-", dir=path.parent)


@contextmanager
def temporary_workroom() -> Iterator[str]:
    """The path of one among the temporary files, where nothing is written beside.

    Raises:
        SystemFault: There is no folder for temporary files, or no room in it.
    """
    import tempfile  # noqa: PLC0415  few runs need one

    rooms: list[TemporaryDirectory[str]] = []

    def clean_up() -> None:
        for room in rooms:
            room.cleanup()

    with undone_by(clean_up):
        try:
            with STEADY:
                rooms.append(tempfile.TemporaryDirectory(prefix="deloc8-"))
        except OSError as error:
            raise write_fault(error, "a temporary folder (TMPDIR)") from error
        with rooms[0] as folder:
            yield folder


def _sweep(folder: Path) -> None:
    """Remove what killed processes of this user left in a folder; a file that its process still locks stays."""
    workrooms: list[tuple[os.DirEntry[str], str]] = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _TEMPORARY.fullmatch(entry.name)
            if found is None:
                continue
            if found[2] is None and entry.is_file(follow_symlinks=False):
                _remove_abandoned(entry)
            elif found[2] is not None and entry.is_dir(follow_symlinks=False):
                workrooms.append((entry, found[1]))
    for entry, owner in workrooms:
        # A living process has its file as long as it has the folder.
        if not os.path.lexists(folder / owner):
            _remove_workroom(entry)


def _remove_workroom(entry: os.DirEntry[str]) -> None:
    import shutil  # noqa: PLC0415  only after a kill in the midst of a strip

    with suppress(OSError):
        if entry.stat(follow_symlinks=False).st_uid == os.geteuid():
            shutil.rmtree(entry.path)


def _remove_abandoned(entry: os.DirEntry[str]) -> None:
    with suppress(OSError):
        if entry.stat(follow_symlinks=False).st_uid != os.geteuid():
            return
        # Neither follows a link nor waits for a pipe that took the file's place since it was looked at.
        lock = os.open(entry.path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(entry.path)  # noqa: PTH108  a name, not a Path
        finally:
            os.close(lock)


@contextmanager
def beside(place: Path) -> Iterator[Stage]:
    """A stage for a file in a folder that is there; nothing of it stays without a commit.

    What a killed process left in the folder is removed first.

    Raises:
        OSError: The file cannot be made.
    """
    files: list[Path] = []
    with undone_by(lambda: _vanish(files)):
        with STEADY:
            _sweep(place.parent)
            staged = Stage(place, files)
        try:
            yield staged
        finally:
            staged.close()


@contextmanager
def stage(place: Path) -> Iterator[Stage]:
    """A stage for a file; its folder is made where it is missing, and nothing of it stays without a commit.

    What a killed process left in the folder is removed first.

    Raises:
        UsageError: The folder cannot be made or written to; it is removed again if it was made for nothing.
        SystemFault: The machine refuses.
    """
    made: list[Path] = []
    with undone_by(lambda: _remove(made)):
        try:
            with STEADY:
                made += takewhile(lambda folder: not folder.exists(), (place.parent, *place.parent.parents))
                place.parent.mkdir(parents=True, exist_ok=True)
            with beside(place) as staged:
                yield staged
        except OSError as error:
            _remove(made)
            raise output_error(error, place, "give a folder that you may write to with -w") from error
        except BaseException:
            _remove(made)
            raise


def _vanish(files: list[Path]) -> None:
    """Remove temporary files and their workrooms, in the midst of the work."""
    for file in files:
        _clear_workrooms(file)
        file.unlink(missing_ok=True)


def _clear_workrooms(file: Path) -> None:
    import shutil  # noqa: PLC0415  hardly ever

    # A program that works in one may write to it once more while it is removed, but not make another.
    for _ in range(_ATTEMPTS):
        rooms = [*file.parent.glob(f"{file.name}-*")]
        if not rooms:
            return
        for room in rooms:
            shutil.rmtree(room, ignore_errors=True)


def _remove(made: list[Path]) -> None:
    """Remove the folders that were made, innermost first, as far as they are empty."""
    for folder in made:
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass  # it was still to be made, inside of one that is there
        except OSError:
            return


def is_same(place: Path, source: str | os.PathLike[str]) -> bool:
    """Whether a place is a file itself; most often nothing is there yet.

    Raises:
        SystemFault: The machine does not say.
    """
    try:
        return place.samefile(source)
    except OSError as error:
        refuse_fault(error, place)
        return False


def copy(archive: WheelArchive, place: Path) -> None:
    """Let a copy of a wheel appear in a place; where that is the wheel itself, it stays as it is.

    Raises:
        UsageError: The place cannot be written to.
        SystemFault: The machine does not let us read or write, or somebody has written to the wheel meanwhile.
    """
    if is_same(place, archive.path):
        return
    with stage(place) as staged:
        with staged.path.open("wb") as file:
            for piece in archive.whole():
                file.write(piece)
        archive.refuse_change()
        staged.commit()
