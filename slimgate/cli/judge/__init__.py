"""`slimgate judge`: judges predictions of other tools."""
