"""Measuring: outcomes, times and bytes. Numbers out; nothing is judged here."""
