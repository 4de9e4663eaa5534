"""Weights: which there are (`manifest`), where they come from (`sources`), where they are kept (`store`)."""
