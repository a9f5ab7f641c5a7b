"""Tools that judge evaluation logs, on the same pairs of logs with a known drop."""
