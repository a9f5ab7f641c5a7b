"""Steps for models whose answers are vectors. One file a step."""
