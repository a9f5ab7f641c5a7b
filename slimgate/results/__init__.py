"""The results that the judge and the gates find for a model: one module a kind, as run.json holds it."""
