"""Findings of `deloc8 check`: one small module for each theme, and one table of all codes."""
