"""The answers of earlier searches, found again by what they depended on, and by nothing else.

Every wheel file is the root of a graph of its own, and the same names are looked for in all of them, for chains of
files that differ. A key of everything that a search might look at would be the whole chain: in a wheel of 500
libraries that need each other in a row, 125,000 keys of 170 paths each. What a search does look at is little, most
often no more than the asking file's DT_RUNPATH. So each search notes, in its order, what it asked about the chain and
what it was told, and the answers are kept in a tree that asks the same questions in the same order.
"""

from __future__ import annotations

import enum

from deloc8.elf.constants import DF_1_NODEFLIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from deloc8.elf.read.image import ElfImage
    from deloc8.loader.lookup import Located, Lookup


class Chain:
    """A file that asks for a library, and those by which it was asked for itself, up to the root.

    Chains of one graph share what is above them.

    Attributes:
        asker: The file that asks.
        above: The chain of the file that asked for it; None for the root.
        root: The root.
        searching: The nearest chain, this one or one above, whose asker has a search path; None where none has.
    """

    __slots__ = ("above", "asker", "root", "searching")

    def __init__(self, asker: Located, above: Chain | None = None) -> None:
        self.asker = asker
        self.above = above
        self.root: Located = asker if above is None else above.root
        dynamic = asker.image.dynamic
        has_path = dynamic is not None and bool(dynamic.rpath or dynamic.runpath)
        inherited = None if above is None else above.searching
        self.searching: Chain | None = self if has_path else inherited

    def __iter__(self) -> Iterator[Located]:
        """Each file, the asking one first."""
        chain: Chain | None = self
        while chain is not None:
            yield chain.asker
            chain = chain.above

    def with_search_path(self) -> Iterator[Located]:
        """Those of the files that have a search path, the nearest first."""
        chain = self.searching
        while chain is not None:
            yield chain.asker
            chain = None if chain.above is None else chain.above.searching


class _Question(enum.Enum):
    """Questions that a search may put about the chain."""

    ASKER = "which file asks"
    RUNPATH = "which DT_RUNPATH it has"
    NODEFLIB = "does it refuse the built-in folders"
    OWNER = "which file is the next whose search path counts"
    NEAR = "which file of the wheel is the nearest"
    ROOT = "which file is the root"


class Inquiry:
    """Questions of one search about a chain; each is noted with its answer.

    Attributes:
        trail: The questions in their order, each with what its answer is known by.
    """

    def __init__(self, chain: Chain, counts: Callable[[ElfImage], bool], covers: Callable[[str], bool]) -> None:
        """A new inquiry.

        Args:
            chain: What is asked about.
            counts: Whether the search path of a file counts for the names that others ask for on its behalf.
            covers: Whether a path leads into the wheel.
        """
        self.trail: list[tuple[_Question, Hashable]] = []
        self._chain = chain
        self._covers = covers
        self._noted: dict[_Question, Hashable] = {}
        self._owners = (owner for owner in chain.with_search_path() if counts(owner.image))
        self._owner: Located | None = None

    def asker(self) -> Located:
        """The file that asks."""
        self._note(_Question.ASKER)
        return self._chain.asker

    def runpath(self) -> str | None:
        """DT_RUNPATH of the file that asks."""
        self._note(_Question.RUNPATH)
        dynamic = self._chain.asker.image.dynamic
        return dynamic.runpath if dynamic else None

    def refuses_defaults(self) -> bool:
        """Whether the file that asks refuses the built-in folders (DF_1_NODEFLIB)."""
        return bool(self._note(_Question.NODEFLIB))

    def owners(self) -> Iterator[Located]:
        """The files whose search paths count, the nearest first; only those that are taken are noted."""
        while True:
            self.trail.append((_Question.OWNER, self.answer(_Question.OWNER)))
            if self._owner is None:
                return
            yield self._owner

    def near(self) -> str:
        """The file of the wheel that asks for a name, or that brought in the one that asks."""
        return str(self._note(_Question.NEAR))

    def root(self) -> Located:
        """The root."""
        self._note(_Question.ROOT)
        return self._chain.root

    def answer(self, question: _Question) -> Hashable:
        """Key of the answer to a question; that to OWNER is another one each time."""
        asker = self._chain.asker
        dynamic = asker.image.dynamic
        if question is _Question.RUNPATH:
            runpath = dynamic.runpath if dynamic else None
            # Its entries may begin at the folder of the file: the path stands for all of them.
            return asker.path if runpath else runpath
        if question is _Question.OWNER:
            self._owner = next(self._owners, None)
            return self._owner and self._owner.path
        if question is _Question.NODEFLIB:
            return dynamic is not None and bool(dynamic.flags_1 & DF_1_NODEFLIB)
        if question is _Question.NEAR:
            return next((one.path for one in self._chain if self._covers(one.path)), "/")
        return asker.path if question is _Question.ASKER else self._chain.root.path

    def _note(self, question: _Question) -> Hashable:
        if question not in self._noted:
            self._noted[question] = self.answer(question)
            self.trail.append((question, self._noted[question]))
        return self._noted[question]


# Places in all answers that are kept, and steps of the tree: some tens of megabytes.
_MOST_KEPT = 200_000


class _Node:
    """A step of the tree: a question and where its answers lead, or the answer of the search itself."""

    __slots__ = ("lookup", "next", "question")

    def __init__(self) -> None:
        self.question: _Question | None = None
        self.next: dict[Hashable, _Node] = {}
        self.lookup: Lookup | None = None


class Memory:
    """The answers of searches. When they become too many, all are forgotten."""

    def __init__(self) -> None:
        self._first: dict[Hashable, _Node] = {}
        self._kept = 0

    def recall(self, key: Hashable, inquiry: Inquiry) -> Lookup | None:
        """The answer of an earlier search; None where there was none that was told the same.

        Args:
            key: What it depended on beside the chain.
            inquiry: A new one about the chain.
        """
        node = self._first.get(key)
        while node is not None and node.question is not None:
            node = node.next.get(inquiry.answer(node.question))
        return None if node is None else node.lookup

    def keep(self, key: Hashable, inquiry: Inquiry, lookup: Lookup) -> None:
        """Keep the answer of a search that has asked the questions of an inquiry."""
        if self._kept > _MOST_KEPT:
            self._first.clear()
            self._kept = 0
        node = self._first.setdefault(key, _Node())
        for question, answer in inquiry.trail:
            node.question = question
            if answer not in node.next:
                self._kept += 1
                node.next[answer] = _Node()
            node = node.next[answer]
        node.lookup = lookup
        self._kept += 1 + len(lookup.tried)
