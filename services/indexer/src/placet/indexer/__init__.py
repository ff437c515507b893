"""What is in the registry, with which metadata? Said from the registry's own words."""
