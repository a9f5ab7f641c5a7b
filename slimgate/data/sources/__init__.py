"""The sources of rows, one a file; its name is the name in a suite."""
