"""Measures a running server with real recordings, in real time: the command `viva bench`.

`clips` are recordings of callers, `caller` plays them and records the events with times, `server` starts what
is measured, `measures` computes figures (no I/O), `trials` are the experiments, `report` prints the results,
`rounds` runs what an option asks for.
"""
