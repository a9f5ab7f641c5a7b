"""One file a runtime: what executes a model. Files whose names begin with _ are their parts."""
