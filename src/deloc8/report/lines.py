"""Sentences in lines."""

from __future__ import annotations

from deloc8.wheel.names import printable

# As the lines of auditwheel.
_WIDTH = 70


def filled(text: str, first: str = "", following: str = "") -> str:
    """A text in lines of at most 70 characters, broken at spaces only: a longer word has a line of its own.

    What the standard library's `textwrap.fill` makes of it without breaking words; its import alone would take a
    fiftieth of the time of a small wheel.

    Args:
        text: One paragraph. What is not printable in it is shown as an escape: a line end in a name must not begin one.
        first: What the first line begins with.
        following: What the others begin with.
    """
    words = iter(printable(text).split(" "))
    line, gap = first + next(words), " "
    lines = []
    for word in words:
        if not word:
            gap += " "
            continue
        if len(line) + len(gap) + len(word) <= _WIDTH:
            line += gap + word
        else:
            lines.append(line)
            line = following + word
        gap = " "
    return "\n".join([*lines, line])
