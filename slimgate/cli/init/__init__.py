"""`slimgate init`: looks at somebody's rows and model, and writes a suite for them that runs as it stands."""
