"""`slimgate judge`: predictions of other tools, judged."""
