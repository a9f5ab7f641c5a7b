"""`slimgate merge`: the command, and the shards of one run as one record."""
