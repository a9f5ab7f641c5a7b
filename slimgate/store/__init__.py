"""The content-addressed store of models, answers and splits."""
