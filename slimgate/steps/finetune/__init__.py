"""Steps that train: fine-tuning, distillation, adapters. One file for each; _name.py has its algorithm."""
