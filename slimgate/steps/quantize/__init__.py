"""Steps that store or compute in fewer bits. One file for each step; _name.py has its algorithm."""
