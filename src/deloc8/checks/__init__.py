"""What `deloc8 check` finds: one small module for each theme, and one table of all codes."""
