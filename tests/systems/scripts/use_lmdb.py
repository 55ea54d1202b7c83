"""A database written and read; this wheel needs nothing from outside."""

from __future__ import annotations

import tempfile

import lmdb

with tempfile.TemporaryDirectory() as folder, lmdb.open(folder) as environment:
    with environment.begin(write=True) as transaction:
        transaction.put(b"name", b"deloc8")
    with environment.begin() as transaction:
        assert transaction.get(b"name") == b"deloc8"
print("worked")
