"""The OpenAI Realtime protocol (GA), spelled as its documents spell it.

`items`, `session` and `responses` are the protocol's objects, `events` its events, `codec` their JSON.
Everything here is a frozen `msgspec.Struct`; nothing here does I/O.
"""
