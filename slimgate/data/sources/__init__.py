"""Where rows come from: one source a file; its name is the name in a suite."""
