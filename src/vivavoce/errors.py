"""The expected errors, by their cause: configuration, client, or provider. Other exceptions are bugs."""


class VivavoceError(Exception):
    """The base class of all expected errors."""


class ConfigError(VivavoceError):
    """The configuration is invalid. The message says what to write instead; a command exits with code 2."""


class ProtocolError(VivavoceError):
    """The client sent something invalid: it is sent an `error` event, and the conversation goes on.

    `code` is an error code of the Realtime protocol; `param` is the path of the invalid field, such as
    `session.audio.input.format`; `event_id` is the id of the client event that caused the error.
    """

    def __init__(
        self, message: str, *, code: str, param: str | None = None, event_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.message, self.code, self.param, self.event_id = message, code, param, event_id


class ProviderError(VivavoceError):
    """A model or service failed, timed out or returned nothing. The response fails; the call goes on.

    `provider` names it in the message. `retryable` means that the same request may succeed later.
    """

    def __init__(self, provider: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(f"{provider}: {message}")
        self.provider, self.message, self.retryable = provider, message, retryable


class UnknownLanguageError(ProviderError):
    """The transcriber was given speech in a language that it does not know, and invents no words for it.

    `words` is what the caller is told.
    """

    def __init__(self, provider: str, message: str, *, words: str) -> None:
        super().__init__(provider, message)
        self.words = words
