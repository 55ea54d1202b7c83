"""Refusals of edits that a file leaves no way to do."""

from __future__ import annotations

from deloc8.errors import ElfError


def impossible(name: str, why: str, hint: str) -> ElfError:
    """The error that says why an edit of a file cannot be done."""
    return ElfError(f"`{name}` cannot be edited as asked", code="edit-impossible", context=(why,), hints=(hint,))
