"""What several tasks share: objectives, heads, encoding."""
