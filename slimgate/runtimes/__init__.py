"""Runtimes, which execute models, one file for each. Files whose names begin with _ are their parts."""
