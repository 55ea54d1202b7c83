"""Libraries that are opened at run time: calls in Python files and names in binaries."""
