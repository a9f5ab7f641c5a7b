"""The commands of the command line, one file for each: `add_to` its parser, and run it."""
