"""The OpenAI Realtime protocol (GA), with the names of its documentation.

`items`, `session` and `responses` are the protocol's objects, `events` its events, `codec` their JSON.
The objects are frozen `msgspec.Struct`s; nothing here does I/O.
"""
