"""Contents and hashes from the audit of a wheel, kept so that its repair reads few members again."""

from __future__ import annotations

from deloc8.values import dataclass, field
from deloc8.wheel.archive import is_large
from deloc8.wheel.record import hash_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from deloc8.elf.read.view import Buffer
    from deloc8.wheel.archive import Member, WheelArchive


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Contents and hashes that have been read; `audit.images.Reading` calls `look`.

    Attributes:
        largest: The member whose contents are kept: the largest one, if it is large; others are quickly read again.
        hashes: The hash of each ELF member and of each Python file.
        contents: The contents that are kept, by member; a map of a file, so that they take no memory.
    """

    largest: str | None
    hashes: dict[str, str] = field(default_factory=dict)
    contents: dict[str, Buffer] = field(default_factory=dict)

    @classmethod
    def of(cls, archive: WheelArchive) -> Known:
        """Return an empty record for a wheel."""
        largest = max(archive.members, key=lambda member: member.size)
        return cls(largest=largest.name if is_large(largest.size) else None)

    def look(self, member: Member, contents: Buffer) -> None:
        """Keep what is to be known of a member, while its contents are there."""
        self.hashes[member.name] = hash_of(contents)
        if member.name == self.largest:
            self.contents[member.name] = contents

    def read(self, archive: WheelArchive, name: str) -> Buffer:
        """The contents of a member: those that are kept, or read again, and then no large ones are kept beside them.

        Raises:
            WheelError: They are not what the archive announces.
        """
        if name in self.contents:
            return self.contents[name]
        member = archive.member(name)
        if is_large(member.size):
            self.keep(())
        return archive.read(member)

    def take(self, archive: WheelArchive, name: str) -> Buffer:
        """The contents of a member, as `read` gives them; they are no longer kept then."""
        contents = self.read(archive, name)
        self.contents.pop(name, None)
        return contents

    def keep(self, names: Collection[str]) -> None:
        """Let go of the contents of all others."""
        for name in self.contents.keys() - names:
            del self.contents[name]
