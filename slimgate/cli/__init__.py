"""What the command line can do, one command a file: `add_to` its parser, and run it."""
