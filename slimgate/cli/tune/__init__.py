"""`slimgate tune`: searches step lists for the fastest variant inside a budget, on the split selection."""
