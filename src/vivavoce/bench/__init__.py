"""Measures the running engine with real recordings, in real time."""
