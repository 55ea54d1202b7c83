"""The values of the other layers, written for people (text) and for programs (JSON)."""
