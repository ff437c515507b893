"""From a folder to a pushed image: what the builder takes, beside what cannot be had for less."""
