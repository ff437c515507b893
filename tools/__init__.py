"""What `make` needs to know about this repository. Nothing of the platform runs from here."""
