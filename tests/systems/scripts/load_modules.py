"""Every extension module of the wheel is loaded, with the flag of dlopen that is named: `now` or `lazy`."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path

WHEEL = Path("/mnt/wheel")
FLAGS = {"now": os.RTLD_NOW, "lazy": os.RTLD_LAZY}

sys.setdlopenflags(FLAGS[sys.argv[1]])
count = 0
for path in sorted(WHEEL.rglob("*.so")):
    stem, suffix = path.name.split(".", 1)
    if f".{suffix}" in importlib.machinery.EXTENSION_SUFFIXES and not path.parent.name.endswith(".libs"):
        name = ".".join([*path.parent.relative_to(WHEEL).parts, stem])
        loader = importlib.machinery.ExtensionFileLoader(name, str(path))
        # The module is made, which is what dlopen and the loader are about; what it imports is not there.
        importlib.util.module_from_spec(importlib.util.spec_from_file_location(name, path, loader=loader))
        count += 1
print(f"loaded {count}")
