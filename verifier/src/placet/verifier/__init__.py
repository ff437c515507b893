"""Checks evidence bundles, with nothing but the standard library."""
