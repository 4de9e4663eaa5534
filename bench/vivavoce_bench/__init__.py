"""Measures the running engine with real recordings, in real time.

`recordings` are what callers say, `caller` says them and writes down what comes back and when, `server` is who
they call, `measures` makes numbers of it (pure), `runs` are the trials, `report` prints them for people.
"""
