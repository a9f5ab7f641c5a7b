"""Steps for models whose answers are vectors. One file for each step."""
