"""One module per model format; each imports its own libraries and only `placet.runtime.model` finds it."""
