"""Documents, the stores that hold them, and queries in the field's words."""
