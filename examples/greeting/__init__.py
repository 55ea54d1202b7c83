"""Greetings from a C library that stands outside the package, until deloc8 brings it in."""

from __future__ import annotations

from greeting._core import greet, loudness

__all__ = ["greet", "loudness"]
