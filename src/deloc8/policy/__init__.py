"""Policies: what a platform tag promises, as values. Knows nothing of wheels or ELF files."""
