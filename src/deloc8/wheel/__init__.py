"""Wheels: their names, their archive, RECORD and WHEEL, read and written. Knows nothing of ELF or policies."""
