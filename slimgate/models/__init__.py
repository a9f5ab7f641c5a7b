"""Networks and graphs: loading, saving, exporting, and what they are made of."""
