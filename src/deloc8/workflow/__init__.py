"""The order of the stages, and nothing of how they work: one module for each line of the design."""
