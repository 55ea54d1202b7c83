"""ELF files: bytes in, values out; edits in, bytes out. Knows nothing of wheels or policies."""
