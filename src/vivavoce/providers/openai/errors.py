"""The errors of endpoints, whose bodies have various forms."""

import re
from collections.abc import Collection, Mapping
from typing import cast

import msgspec

from vivavoce.errors import ProviderError

_TITLE = re.compile(r"<(title|h1|message)[^>]*>\s*([^<]{1,80}?)\s*<", re.IGNORECASE)
NO_API = "no API answered: is base_url complete, as in https://example.org/v1?"
_TEMPORARY = re.compile(
    r"rate.?limit|overload|server.?error|unavailable|timeout|capacity|exhausted", re.IGNORECASE
)
_FINAL = re.compile(r"insufficient_quota|billing", re.IGNORECASE)


class EndpointError(ProviderError):
    """What an endpoint refused or failed to do.

    `param` is the parameter that it names as the cause, `detail` all that it said. `retry_after` is how many
    seconds it asks to wait.
    """

    param = ""
    detail = ""
    retry_after = 0.0


def parsed(body: bytes) -> object:
    """Return the value of a JSON body, or else its text."""
    text = body.decode("utf-8-sig", errors="replace").strip()
    try:
        return cast("object", msgspec.json.decode(text))
    except (msgspec.DecodeError, RecursionError):
        return text


def reason(value: object) -> str:
    """Return the message in an error: OpenAI's, FastAPI's, Google's list, a web page, or plain text."""
    match value:
        case str():
            return web_page(value) or " ".join(value.split())
        case [first, *_]:
            return reason(first)
        case {"msg": str(text), "loc": [*place]}:
            return f"{'.'.join(map(str, place))}: {text}"
        case {"message": message, "metadata": {"raw": raw}} if raw:  # OpenRouter, about the provider behind it
            return f"{reason(message)}: {reason(raw)}"
    if isinstance(value, Mapping):
        found = (reason(value.get(key)) for key in ("error", "message", "detail", "msg", "title", "code"))
        return next(filter(None, found), "")
    return ""


def web_page(text: str) -> str:
    """Return how to call a body that is a web page, with its title; nothing if it is none."""
    if not text.lstrip("\ufeff \r\n\t").startswith("<"):
        return ""
    title = _TITLE.search(text)
    return f"a web page ({title[2]})" if title else "a web page"


def parameter(value: object) -> str:
    """Return the name of the parameter that an error says is at fault; empty if it does not say."""
    match value:
        case {"param": str(name)}:
            return name
        case [first, *_]:
            return parameter(first)
        case {"loc": ["body", str(name), *_]}:
            return name
    if isinstance(value, Mapping):
        return next(filter(None, (parameter(value.get(key)) for key in ("error", "message", "detail"))), "")
    return ""


def refused_parameter(error: EndpointError, names: Collection[str]) -> str:
    """Return which of these parameters an endpoint refused; empty if it failed for another reason."""
    named = re.split(r"[.\[]", error.param)[0]
    if named in names:
        return named
    if error.retryable:
        return ""
    return next((name for name in names if re.search(_as_parameter(name), error.detail)), "")


def _as_parameter(name: str) -> str:
    """Return a pattern for a parameter's name; a plain word such as `temperature` may also be a caller's."""
    if "_" in name:
        return rf"\b{name}\b"
    before, after = r"(?:['\"`>.]|parameter:|field:?) ?", r"(?:['\"`:]| (?:is|does|not|must|cannot)\b)"
    return rf"{before}{name}\b|\b{name}{after}"


def is_temporary(status: int, value: object) -> bool:
    """Whether the same request may succeed later, from the HTTP status and the error."""
    error = value.get("error") if isinstance(value, Mapping) else None
    fields = [one for one in (value, error) if isinstance(one, Mapping)]
    codes = [one.get(key) for one in fields for key in ("code", "status", "type")]
    told = [int(str(code)) for code in codes if str(code).isdecimal() and len(str(code)) == 3]
    words = " ".join(code for code in codes if isinstance(code, str))
    status = status or next(iter(told), 0)
    if _FINAL.search(words):
        return False
    return status in (408, 409, 425, 429) or status >= 500 or (not status and bool(_TEMPORARY.search(words)))
