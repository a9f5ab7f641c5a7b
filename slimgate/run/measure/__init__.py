"""Measures outcomes, times and bytes; nothing is judged here."""
