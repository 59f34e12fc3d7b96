"""Accuracy against complexity: which members to train, which to vote together, and what of it is worth having."""
