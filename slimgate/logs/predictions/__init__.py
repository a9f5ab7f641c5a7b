"""Files of predictions that other tools wrote."""
