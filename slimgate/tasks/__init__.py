"""One module per task: what the rows mean, and how a model answers them."""
