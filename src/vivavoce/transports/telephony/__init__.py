"""Telephone calls: one core, and a module for each peer that carries them."""
