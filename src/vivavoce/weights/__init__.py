"""Model weights: the known models (`manifest`), their sources (`sources`), and the local store (`store`)."""
