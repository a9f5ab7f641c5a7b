"""Networks and graphs: loading, saving, exporting, and their parts."""
