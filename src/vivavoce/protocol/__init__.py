"""The language of a line: the OpenAI Realtime protocol (GA), spelled as its documents spell it.

`items`, `session` and `response` are the protocol's objects, `events` its sentences, `wire` its JSON.
Everything here is a frozen `msgspec.Struct`; nothing here does I/O.
"""
