"""The package databases of Linux distributions, read as files: which package a path belongs to."""
