"""The errors of deloc8, one family.

Deloc8Error            code, message, context, notes, hints
|- UsageError          the request contradicts itself
|- InputError          the given file is unsound
|  |- WheelError       ... the wheel: its archive, its names, its metadata
|  |  `- PureWheelError    it holds no compiled file, so there is nothing to audit or repair
|  |- ElfError         ... an ELF file: says which field at which offset
|  `- PolicyError      ... a policy file: says which key
|- UnrepairableError   what was asked for cannot be had: carries the violations that no plan can cure
|- SystemFault         the machine refused: no room, no memory, no thread, a read that failed
`- VerificationError   our own output failed its proof and was not kept

The command line maps each family to an exit code; nothing else does.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


class Deloc8Error(Exception):
    """An error that says what is wrong, where, why, and what to do.

    Attributes:
        code: Stable name of the kind of error, kebab-case, for scripts.
        message: One line without a final full stop: what is wrong, and with which file.
        context: Lines that say where and why, shown indented below the message.
        notes: Facts beside the point that may matter.
        hints: What the user can do, in the order of effort.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        context: Sequence[str] = (),
        notes: Sequence[str] = (),
        hints: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.context = tuple(context)
        self.notes = tuple(notes)
        self.hints = tuple(hints)

    def __reduce__(self) -> tuple[Callable[..., Deloc8Error], tuple[type[Deloc8Error], dict[str, Any]]]:
        return _revive, (type(self), vars(self))


def _revive(kind: type[Deloc8Error], values: dict[str, Any]) -> Deloc8Error:
    """The error that another process has pickled."""
    return kind(**values)


class UsageError(Deloc8Error):
    """The options contradict each other or name something that does not exist."""


class InputError(Deloc8Error):
    """The given file is not sound."""


class WheelError(InputError):
    """The wheel is not sound: its archive, its name or its metadata."""


class PureWheelError(WheelError):
    """The wheel holds no compiled file, so there is nothing to audit or repair."""


class ElfError(InputError):
    """An ELF file is not sound; the message names the field and its offset in the file."""


class PolicyError(InputError):
    """A policy file is not sound; the message names the key."""


class UnrepairableError(Deloc8Error):
    """No plan reaches what was asked for."""


class SystemFault(Deloc8Error):  # noqa: N818  a fault of the machine says nothing about the wheel
    """The machine refused: no room, no memory, no thread, a read that failed. It is no verdict on any wheel."""


class VerificationError(Deloc8Error):
    """The written wheel failed its proof: a defect of deloc8. The output is not kept."""
