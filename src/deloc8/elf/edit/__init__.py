"""Changes of ELF files: edits as data, and the one pass that applies them."""
