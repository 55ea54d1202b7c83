"""A wheel whose libraries ask for an executable stack, or no longer do, is imported: bound at once or lazily."""

from __future__ import annotations

import os
import sys

sys.setdlopenflags({"now": os.RTLD_NOW, "lazy": os.RTLD_LAZY}[sys.argv[1]])

import greeting  # noqa: E402  the flags come first

assert greeting.greet("world") == "Hello, world!"
print("worked")
