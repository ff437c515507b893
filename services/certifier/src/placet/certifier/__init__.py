"""May this be served? Rules decide, and a signed certificate says so."""
