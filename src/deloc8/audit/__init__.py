"""What is true of a wheel (facts), and what the policies say of it (verdict)."""
