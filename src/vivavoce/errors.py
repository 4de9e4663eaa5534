"""The expected errors, by their cause: configuration, client, or provider. Other exceptions are bugs."""

import re
from collections.abc import Iterable, Iterator, Mapping
from errno import EHOSTUNREACH, ENETUNREACH
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from msgspec import Struct


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


LANGUAGE_NOT_SUPPORTED = "language_not_supported"
"""The code by which clients are told of an `UnknownLanguageError`."""


class UnknownLanguageError(ProviderError):
    """The transcriber was given speech in a language that it does not know, and invents no words for it.

    `message` is a sentence for clients, `words` is what the caller is told, and `own_words` the same in the
    caller's language, if it is known.
    """

    def __init__(self, provider: str, message: str, *, words: str, own_words: str = "") -> None:
        super().__init__(provider, message)
        self.words, self.own_words = words, own_words


def alternatives(word: object, known: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown word: what it may mean, and all that there are."""
    from difflib import get_close_matches

    names = sorted(known)
    alike = {name.lower().replace("_", "-"): name for name in names}
    similar = get_close_matches(str(word).lower().replace("_", "-"), alike, 1)
    nearest = alike[similar[0]] if similar else None
    if nearest and len(names) > MANY:
        return f"did you mean {nearest!r}? There are {len(names)} in all"
    there_are = f"here are: {', '.join(names) or 'none'}"
    return f"did you mean {nearest!r}? T{there_are}" if nearest else f"t{there_are}"


MANY = 20
"""names that are not all listed when one of them was probably meant"""

_EXPECTED = re.compile(r"Expected `(?P<types>[^`]+)`(?P<bound> [<>]=? \S+)?(?P<rest>.*)")
_KINDS = {
    "int": "an integer",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}
_BOUNDS = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}


def msgspec_problem(error: Exception, table: Mapping[str, object], kind: type["Struct"]) -> tuple[str, str]:
    """Return the setting of a table that msgspec refused, such as `threads`, and what is wrong with it.

    The name is empty if the problem is about several settings. `kind` is what the table was to become.
    """
    from msgspec import inspect

    message, _, path = str(error).partition(" - at `$")
    path = path.strip("`").removeprefix(".").replace("[...]", "")
    info = inspect.type_info(kind)
    named = [one.type for one in getattr(info, "fields", ()) if one.encode_name == path]
    if values := [str(value) for one in named if isinstance(one, inspect.LiteralType) for value in one.values]:
        return path, f"cannot be {table[path]!r}; {alternatives(table[path], values)}"
    found = _EXPECTED.fullmatch(message)
    if found is None:
        return path, message
    kinds = " or ".join(_KINDS.get(kind, kind) for kind in found["types"].split(" | "))
    if found["bound"]:
        sign, number = found["bound"].split()
        return path, f"must be {kinds} of {_BOUNDS[sign]} {float(number):g}"
    got = re.fullmatch(r", got `(\w+)`", found["rest"])
    return path, f"must be {kinds}" + (f", not {_KINDS.get(got[1], got[1])}" if got else found["rest"])


def first_failure(failures: ExceptionGroup[Exception]) -> Exception:
    """Return the first failure of a task group, because of which its other tasks were cancelled."""
    failure: Exception = failures
    while isinstance(failure, ExceptionGroup):
        failure = failure.exceptions[0]
    return failure


def connection_problem(error: BaseException) -> str:
    """Return why a server cannot be reached, in plain words, from the errors that led to this one."""
    import socket
    import ssl

    causes = [*_causes(error)]
    for cause in causes:
        number = cause.errno if isinstance(cause, OSError) else None
        match cause:
            case socket.gaierror():
                return "there is no host of this name"
            case ssl.SSLCertVerificationError():
                return f"its certificate is not trusted: {cause.verify_message}"
            case ssl.SSLError():
                return "it does not answer in TLS"
            case TimeoutError():
                return "it does not answer"
            case ConnectionRefusedError():
                return "nothing listens there"
            case ConnectionError():
                return "it broke the connection off"
            case OSError() if number in (ENETUNREACH, EHOSTUNREACH):
                return "no network leads there"
            case OSError() if "Connect call failed" in str(cause):  # asyncio's, of several addresses
                return "nothing listens there"
    strerror = next((cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror), None)
    return strerror or str(error) or type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what led to it, the nearest first."""
    yield error
    for one in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield from _causes(one)
    if (cause := error.__cause__ or error.__context__) is not None:
        yield from _causes(cause)
