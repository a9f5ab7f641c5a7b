"""The record of a run, written as run.json and read again: schema slimgate.run/2."""
