"""The demo's wheel greets."""

from __future__ import annotations

import greeting
from mapped import assert_grafted

assert greeting.greet("world") == "Hello, world!"
assert greeting.greet("Jón", "is") == "Halló, Jón!"
assert greeting.loudness(100) == 20.0
assert_grafted("greeting.libs", "libgreet", "libwords")
print("worked")
