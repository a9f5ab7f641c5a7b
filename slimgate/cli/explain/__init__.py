"""`slimgate explain`: the command, and a row through all models."""
