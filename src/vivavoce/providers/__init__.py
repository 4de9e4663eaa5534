"""Providers of models: their contracts (`base`), their registry, and a folder for each vendor."""
