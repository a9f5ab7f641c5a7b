"""Builds and measures a suite."""
