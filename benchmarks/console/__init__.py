"""How quickly the console answers."""
