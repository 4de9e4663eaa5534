"""Helpers for tests of conversations: an event loop with a simulated clock, and simulated conversations."""
