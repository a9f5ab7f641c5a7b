"""Shared code of training steps: the Trainer, distillation, transfer rows, teachers, adapters."""
