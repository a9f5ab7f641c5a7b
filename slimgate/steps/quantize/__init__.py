"""Steps that store or compute in fewer bits. One file a step; its algorithm is beside it as _name.py."""
