"""A document written and read back by libyaml."""

from __future__ import annotations

import yaml
from mapped import assert_grafted

document = {"wheel": "deloc8", "tags": ["manylinux_2_17", "musllinux_1_2"], "size": 1.5, "word": "größer"}
assert yaml.load(yaml.dump(document, Dumper=yaml.CSafeDumper), Loader=yaml.CSafeLoader) == document
assert_grafted("pyyaml.libs", "libyaml")
print("worked")
