"""ELF files as they are: bytes in, frozen values out."""
