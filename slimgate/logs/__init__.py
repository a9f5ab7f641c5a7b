"""Logs of two models: finds, reads, compares, pairs and judges them."""
