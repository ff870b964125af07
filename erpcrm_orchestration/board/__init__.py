"""The web board: what people who own the data see, correct and configure."""
