"""What speaks to files and to other machines."""
