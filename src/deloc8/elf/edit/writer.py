"""Applies a placement: the edited bytes of an ELF file."""

from __future__ import annotations

from deloc8.elf.edit.layout import Placement, place
from deloc8.elf.read.payload import check_movable, join, read_payload
from deloc8.elf.read.view import View
from deloc8.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from deloc8.elf.edit.vocabulary import Edit
    from deloc8.elf.read.payload import Payload
    from deloc8.elf.read.view import Buffer


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """An edited file: its bytes, and what was changed where, in the ELF part if data follows it."""

    data: bytes
    placement: Placement

    @property
    def notes(self) -> tuple[str, ...]:
        """Facts that matter only to those who look closely."""
        return self.placement.notes


def edit(data: Buffer, edits: Sequence[Edit], name: str) -> Edited:
    """The file with all edits done, in one pass; the same bytes where everything is so already.

    Args:
        data: The whole file.
        edits: What shall be true, done in this order.
        name: How errors call the file.

    Raises:
        ElfError: An edit cannot be done (`edit-impossible`), or the file is unsound (`bad-elf`).
    """
    view = View.open(data, name)
    payload = read_payload(view)
    if payload is None:
        placement = place(view, edits)
        return Edited(data=apply_placement(data, placement), placement=placement)
    placement = _place_before(payload, data, edits, name)
    return Edited(data=bytes(_with_payload(payload, data, placement, name)), placement=placement)


def edit_owned(data: Buffer, edits: Sequence[Edit], name: str) -> Buffer:
    """The edited file, as `edit` makes it, for a caller who needs the old contents no more.

    A bytearray is changed in place, so that a large file needs no second copy.

    Raises:
        ElfError: As for `edit`; nothing has changed then.
    """
    if not isinstance(data, bytearray):
        return edit(data, edits, name).data
    view = View.open(data, name)
    payload = read_payload(view)
    if payload is not None:
        return _with_payload(payload, data, _place_before(payload, data, edits, name), name)
    placement = place(view, edits)
    for offset, content in placement.writes:
        data[offset : offset + len(content)] = content
    data += placement.appended
    return data


def check_payload(data: Buffer, edits: Sequence[Edit], name: str) -> None:
    """Raise ElfError where a file has a payload that some edits would break (`edit-impossible`)."""
    payload = read_payload(View.open(data, name))
    if payload is not None:
        _place_before(payload, data, edits, name)


def _place_before(payload: Payload, data: Buffer, edits: Sequence[Edit], name: str) -> Placement:
    """Changes that some edits make to the ELF part of a file with a payload."""
    with memoryview(data) as whole, whole[: payload.start] as part:
        placement = place(View.open(part, name), edits)
    if placement.appended:
        check_movable(payload, name)
    return placement


def _with_payload(payload: Payload, data: Buffer, placement: Placement, name: str) -> Buffer:
    """The file with a changed ELF part, and with its payload where the program finds it."""
    if not placement.appended:
        return apply_placement(data, placement)
    with memoryview(data) as whole, whole[: payload.start] as part:
        edited = apply_placement(part, placement)
    return join(edited, data, payload, name)


def apply_placement(data: Buffer, placement: Placement) -> bytes:
    """The bytes of a file with the changes of a placement, copied once."""
    if isinstance(data, bytes) and not placement.writes and not placement.appended:
        return data
    with memoryview(data) as whole:
        parts: list[bytes | memoryview] = []
        end = 0
        for offset, content in placement.writes:
            parts += [whole[end:offset], content]
            end = offset + len(content)
        parts += [whole[end:], placement.appended]
        result = b"".join(parts)
        for part in parts:
            if isinstance(part, memoryview):
                part.release()  # so that the owner of the bytes may close them
    return result
