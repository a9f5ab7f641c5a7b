"""The steps that make a model smaller or faster, by family, and their shared code."""
