"""The command `viva`. Each command imports what it needs when it is called, so that `viva --help` is quick."""
