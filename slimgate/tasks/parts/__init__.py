"""Code that several tasks share: objectives, heads, encoding."""
