"""The values of the other layers told to people (text) and to programs (JSON)."""
