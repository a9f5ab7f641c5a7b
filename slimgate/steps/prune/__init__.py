"""Steps that remove weights, heads, layers. One file for each step; _name.py has its algorithm."""
