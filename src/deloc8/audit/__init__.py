"""Facts about a wheel (facts), and the verdict of the policies on it (verdict)."""
