"""What the judge and the gates find of a model: one module a kind of result, as run.json holds it."""
