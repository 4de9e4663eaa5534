"""For tests of conversations, ours and yours: a clock that jumps, and simulated conversations."""
