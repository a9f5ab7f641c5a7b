"""Steps that train: fine-tuning, distillation, adapters. One file a step; its algorithm is beside it as
_name.py.
"""
