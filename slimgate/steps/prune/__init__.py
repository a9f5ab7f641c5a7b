"""Steps that remove weights, heads, layers. One file a step; its algorithm is beside it as _name.py."""
