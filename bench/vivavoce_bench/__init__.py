"""Measures a running server with real recordings, in real time: the command `viva bench`.

`recordings` are what callers say, `caller` plays them and records what comes back and when, `server` is what
they call, `measures` makes figures of it (pure), `trials` are what is tried, `report` prints it.
"""
