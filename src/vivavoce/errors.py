"""Three families of failure, by whose fault it is; the end of a line is nobody's.

Anything else that is raised is ours, and is not caught.
"""

__all__ = ["ConfigError", "ProtocolError", "ProviderError", "VivavoceError"]


class VivavoceError(Exception):
    """What every failure that vivavoce foresees has in common."""


class ConfigError(VivavoceError):
    """The owner's: one sentence that says what to write. The command ends with exit code 2."""


class ProtocolError(VivavoceError):
    """The client's: becomes an `error` event, and the conversation goes on.

    `code` is one that clients of the Realtime protocol act on; `param` is the path of the offending
    field, such as `session.audio.input.format`; `event_id` is that of the client's event.
    """

    def __init__(
        self, message: str, *, code: str, param: str | None = None, event_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.message, self.code, self.param, self.event_id = message, code, param, event_id


class ProviderError(VivavoceError):
    """The world's: a model or service was silent, slow, empty or broken. One answer fails, no call ends."""

    def __init__(self, provider: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(f"{provider}: {message}")
        self.provider, self.message, self.retryable = provider, message, retryable
