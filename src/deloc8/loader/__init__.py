"""A simulation of the dynamic loader: what ld.so would load for a file, and everything it would try."""
