"""One file a task: what the rows mean, how a model answers them."""
