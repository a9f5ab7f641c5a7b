"""`slimgate init`: looks at a user's rows and model, and writes a suite that runs without changes."""
