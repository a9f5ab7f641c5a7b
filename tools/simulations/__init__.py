"""Simulations that show how often verdicts are wrong, how fast the judge is, and what a duel can see.

Each is a script, `python -m tools.simulations.NAME`; reports/simulations/ has the tables that they wrote.
"""
