"""A tool that calls an HTTP endpoint, with its arguments in the URL or in the body of the request."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import httpx

from vivavoce.config.tools import HttpToolTable, from_environment, placeholders
from vivavoce.limits import Limits
from vivavoce.tools.parameters import Parameters
from vivavoce.tools.types import Context, Outcome, Tool, ToolError

_REDIRECTS = 5
_BYTES_PER_CHAR = 4
_EXCERPT = 500
"""characters of an error response that the model reads"""
_SHORTEST_SECRET = 4
Values = Mapping[str, object]


def http_tool(table: HttpToolTable, client: httpx.AsyncClient, limits: Limits) -> Tool:
    """Make a tool of an endpoint. Raises `ConfigError`."""
    place = f"[[tools.http]] {table.name}"
    headers, secrets = dict[str, str](), list[str]()
    for name, text in table.headers.items():
        headers[name], found = from_environment(text, f"{place}: headers {name}")
        secrets += found
    parameters = Parameters.from_schema(table.parameters_schema, place)
    seconds = table.seconds or limits.tool_seconds
    endpoint = _Endpoint(table, client, headers, secrets, seconds, limits.tool_output_chars)

    async def run(arguments: str, context: Context) -> Outcome:  # noqa: ARG001
        return Outcome(await endpoint.request(parameters.read(arguments)))

    options = table.model_dump(include={"seconds", "max_concurrency", "filler", "confirm", "on_interruption"})
    return Tool(table.name, table.description, table.parameters_schema, run, **options)


@dataclass(frozen=True)
class _Endpoint:
    """Builds requests, follows redirects, and returns the text of responses for the model."""

    table: HttpToolTable
    client: httpx.AsyncClient
    headers: Mapping[str, str] = field(repr=False)
    secrets: Sequence[str] = field(repr=False)
    seconds: float
    output_chars: int

    async def request(self, values: Values) -> str:
        """Send a request; return the text of the response. Secrets are removed from it and from errors.

        Raises `ToolError` if the request fails, or the status is 400 or more.
        """
        try:
            status, text = await self._follow(self._build(values))
        except httpx.TimeoutException as error:
            raise ToolError(f"There was no answer within {self.seconds:g} seconds.") from error
        except httpx.InvalidURL as error:
            raise ToolError("The arguments make no address; they may be too long.") from error
        except httpx.HTTPError as error:
            raise ToolError(f"The service cannot be reached ({type(error).__name__}).") from error
        for secret in self.secrets:
            if len(secret) >= _SHORTEST_SECRET:
                text = text.replace(secret, "…")
        if status >= httpx.codes.BAD_REQUEST:
            reason = f"{status} {httpx.codes.get_reason_phrase(status)}".strip()
            raise ToolError(f"The service has answered {reason}: {text[:_EXCERPT]}".rstrip(": "))
        return text or "Done."

    def _build(self, values: Values) -> httpx.Request:
        url, left = fill_url(self.table.url, values)
        body = left if self.table.method in ("POST", "PUT", "PATCH") else None
        if body is None and (query := _query(left)):
            url += ("&" if urlsplit(url).query else "?") + query
        headers = {"Accept": "application/json, text/*;q=0.9", "Accept-Encoding": "identity", **self.headers}
        return self.client.build_request(
            self.table.method, url, json=body, headers=headers, timeout=self.seconds
        )

    async def _follow(self, request: httpx.Request) -> tuple[int, str]:
        """Return status and text of the response, following redirects within the same origin."""
        for _ in range(_REDIRECTS):
            response = await self.client.send(request, stream=True, follow_redirects=False)
            try:
                if response.next_request is None:
                    return response.status_code, await self._read(response)
            finally:
                await response.aclose()
            if _origin(response.next_request.url) != _origin(request.url):
                raise ToolError("The service redirects to another server, where we do not go.")
            request = response.next_request
        raise ToolError(f"The service has redirected {_REDIRECTS} times.")

    async def _read(self, response: httpx.Response) -> str:
        """Return the text of a response, reading no more than the limit on a tool's output allows."""
        kind = response.headers.get("content-type", "text/plain").partition(";")[0].strip().lower()
        if not (kind.startswith("text/") or kind == "application/json" or kind.endswith(("+json", "/xml"))):
            raise ToolError(f"The service has answered with {kind}, which is neither text nor JSON.")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise ToolError("The service has compressed its answer, which was not asked for.")
        body, limit = bytearray(), self.output_chars * _BYTES_PER_CHAR
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > limit:
                break
        text = body[:limit].decode(response.charset_encoding or "utf-8", errors="replace").strip()
        return _compact(text) if "json" in kind else text


def fill_url(url: str, values: Values) -> tuple[str, Values]:
    """Return a URL with its placeholders filled in, and the values that are left.

    A value can only become one segment of the path, or one value of the query; it cannot change the scheme, the
    host or the path's structure. Raises `ToolError` for a value that cannot be a path segment.
    """
    parts = urlsplit(url)
    path = "/".join(_fill_segment(segment, values) for segment in parts.path.split("/"))
    pairs = [
        (name, text.format_map({one: _text(value) for one, value in values.items()}))
        for name, text in parse_qsl(parts.query, keep_blank_values=True)
        if all(values.get(one) is not None for one in placeholders(text))
    ]
    used = {*placeholders(parts.path), *placeholders(parts.query)}
    left = {name: value for name, value in values.items() if name not in used}
    return parts._replace(path=path, query=urlencode(pairs, safe="", quote_via=quote)).geturl(), left


def _fill_segment(segment: str, values: Values) -> str:
    """Fill in one path segment; rejects slashes and dots: servers may decode `%2F`, and resolve `..`."""
    for name in placeholders(segment):
        text = _text(values[name])
        if not text.strip() or set(text) & set("/\\") or not text.isprintable():
            raise ToolError(f"{name}: {text!r} cannot be part of an address; needed is a word or a number.")
    filled = segment.format_map({name: quote(_text(value), safe="") for name, value in values.items()})
    if filled != segment and not unquote(filled).strip("."):
        raise ToolError(f"{filled!r} cannot be part of an address; needed is a word or a number.")
    return filled


def _query(values: Values) -> str:
    lists = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
    pairs = [(name, _text(one)) for name, each in lists.items() if values[name] is not None for one in each]
    return urlencode(pairs, safe="", quote_via=quote)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _compact(text: str) -> str:
    """Return JSON without whitespace, to save the model's tokens; text that is no valid JSON is unchanged."""
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
    except ValueError:
        return text
