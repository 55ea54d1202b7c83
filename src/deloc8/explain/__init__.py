"""Why something matters to a wheel, and the ways out."""
