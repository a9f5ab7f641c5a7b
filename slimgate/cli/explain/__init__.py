"""`slimgate explain`: the command, and the answers of all models to a row."""
