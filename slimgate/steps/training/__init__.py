"""What many steps train with: the Trainer, distillation, transfer rows, teachers, adapters."""
