"""`slimgate tune`: searches step lists for the fastest variant within a budget, on the split selection."""
