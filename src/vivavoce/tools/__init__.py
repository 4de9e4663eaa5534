"""Tools: what an answer may do besides speaking."""
