"""Where grafts come from: owners, licences, and the bill of materials."""
