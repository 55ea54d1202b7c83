"""Exceptions of C++ cross the libraries of one wheel; beside another's C++ runtime where an argument says so."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from mapped import assert_grafted

EXPECTED = {
    "caught": "caught trouble of depth 1, caught deep trouble of depth 2, caught deep trouble of depth 5",
    "by-base": "by base depth 2, deep trouble, same type",
    "pointer": "kept 3 3",
    "nested": "nested depth 1 in around",
    "thread": "thread from the extension, own",
    "cast": "cast plain deep",
    "library": "library out_of_range regex_error 2 failure",
    "rest": "0.11true true10 b",
}

if "beside" in sys.argv:
    _other = importlib.import_module("_other")
    assert _other.run() == "other 0.5"
throwing = importlib.import_module("throwing")

for task, expected in EXPECTED.items():
    assert throwing.run(task) == expected, (task, throwing.run(task))
try:
    throwing.run("throw")
except ValueError as error:
    assert str(error) == "deep trouble: depth 7"
else:
    raise AssertionError
loaded = Path("/proc/self/maps").read_text(encoding="utf-8")
if "beside" in sys.argv:
    assert _other.run() == "other 0.5"
    assert "throwing.libs/libstdc++" in loaded
    assert "/lib64/libstdc++.so.6" in loaded
elif "static" in sys.argv:
    assert "libstdc++" not in loaded
else:
    assert_grafted("throwing.libs", "libstdc++")
print("worked")
