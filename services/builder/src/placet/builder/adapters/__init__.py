"""The builder's tools: uv for packages, a Python process for bytecode."""
