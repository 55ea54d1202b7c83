"""The work that the search for openings may cost, counted, so that a wheel has the same openings on every machine."""

from __future__ import annotations

from time import thread_time

from deloc8.values import NamedTuple

# A unit is about a microsecond of a processor of 2024: the work of a wheel ends after some five seconds. Of 60 real
# wheels none needs a tenth of it.
_UNITS = 5_000_000
# No file may use up what the others need.
_UNITS_OF_ONE_FILE = _UNITS // 4
# The last resort, for work that costs more than was counted: what is found until then depends on the machine.
_SECONDS = 10.0
_BETWEEN_LOOKS = 20_000  # units until the clock is looked at again


class Spent(Exception):  # noqa: N818  it is no error of the wheel or of deloc8, and never leaves the search
    """The work of a file, or of the wheel, is used up."""


class Unsearched(NamedTuple):
    """Something that was not searched for openings, or not to its end.

    Attributes:
        place: The member, or the path of a library that is to be copied in.
        reason: Why, as a clause.
    """

    place: str
    reason: str


class Budget:
    """Work that may still be done for one wheel."""

    def __init__(self, units: int = _UNITS, seconds: float = _SECONDS) -> None:
        self.left = units
        self._end = thread_time() + seconds
        self._floor = 0
        self._next_look = units

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left, not only of what one file may use."""
        return self.left < 0 or thread_time() > self._end

    def begin_file(self) -> None:
        """Give the next file a part of what is left."""
        self._floor = max(0, self.left - _UNITS_OF_ONE_FILE)

    def spend(self, units: int) -> None:
        """Count work that is to be done, or has been.

        Raises:
            Spent: It is more than the file, or the wheel, has left.
        """
        self.left -= units
        if self.left < self._next_look:
            if self.left < self._floor or self.is_spent:
                raise Spent
            self._next_look = max(self._floor, self.left - _BETWEEN_LOOKS)


def stopped_at(place: str, files_behind: int) -> Unsearched:
    """Where the search has ended before its time."""
    if not files_behind:
        return Unsearched(place, "the search stopped here, because it would take too long")
    noun = "file" if files_behind == 1 else "files"
    reason = f"the search stopped here, because it would take too long; {files_behind:,} {noun} behind it"
    return Unsearched(place, f"{reason} {'was' if files_behind == 1 else 'were'} not searched either")
