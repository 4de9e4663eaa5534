"""For tests of conversations, ours and yours: `clock` jumps, `stage` plays."""
