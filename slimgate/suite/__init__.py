"""What a suite file says, read and checked."""
