"""A wheel brought down to an older glibc: what is bound otherwise, and the proof of it."""
