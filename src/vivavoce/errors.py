"""Three kinds of failure, by whose fault it is. Anything else that is raised is a bug, and is not caught."""


class VivavoceError(Exception):
    """The base of all failures that are foreseen."""


class ConfigError(VivavoceError):
    """The configuration's: one sentence that says what to write. A command ends with exit code 2."""


class ProtocolError(VivavoceError):
    """The client's: it is sent an `error` event, and the conversation goes on.

    `code` is one that clients of the Realtime protocol act on; `param` is the path of the offending
    field, such as `session.audio.input.format`; `event_id` is that of the client's event.
    """

    def __init__(
        self, message: str, *, code: str, param: str | None = None, event_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.message, self.code, self.param, self.event_id = message, code, param, event_id


class ProviderError(VivavoceError):
    """A model's or service's: it was silent, slow, empty or broken. One response fails, no call ends.

    `retryable` says that the same may succeed later.
    """

    def __init__(self, provider: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(f"{provider}: {message}")
        self.provider, self.message, self.retryable = provider, message, retryable
