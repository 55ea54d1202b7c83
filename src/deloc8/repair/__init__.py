"""From a verdict to a plan, from a plan to a written wheel, and the proof that it is right."""
