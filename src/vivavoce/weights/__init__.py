"""Weights: which there are (`manifest`), where they come from (`sources`), and where they are (`store`)."""
