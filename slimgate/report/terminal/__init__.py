"""What a run prints in the terminal."""
