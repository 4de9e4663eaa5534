"""A tool that is an address on the web: asked over HTTP, with the arguments in the address or in the body."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import httpx

from vivavoce.config.tools import HttpToolTable, from_environment, placeholders
from vivavoce.limits import Limits
from vivavoce.tools.parameters import Parameters
from vivavoce.tools.types import Context, Outcome, Tool, ToolError

__all__ = ["address", "http_tool"]

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_REDIRECTS = 5
_BYTES_OF_A_CHAR = 4
_EXCERPT = 500
"""characters of what an endpoint says of its failure that the model is told"""
_SHORTEST_SECRET = 4
Values = Mapping[str, object]


def http_tool(table: HttpToolTable, client: httpx.AsyncClient, limits: Limits) -> Tool:
    """Make a tool of an endpoint. Raises `ConfigError`."""
    place = f"[[tools.http]] {table.name}"
    headers, secrets = dict[str, str](), list[str]()
    for name, text in table.headers.items():
        headers[name], found = from_environment(text, f"{place}: headers {name}")
        secrets += found
    parameters = Parameters.from_schema(table.takes, place)
    seconds = table.seconds or limits.tool_seconds
    endpoint = _Endpoint(table, client, headers, secrets, seconds, limits.tool_output_chars)

    async def run(arguments: str, context: Context) -> Outcome:  # noqa: ARG001
        return Outcome(await endpoint.ask(parameters.read(arguments)))

    return Tool(
        table.name,
        table.description,
        table.takes,
        run,
        table.seconds,
        table.at_once,
        table.filler,
        table.confirm,
        table.interruption,
    )


@dataclass(frozen=True)
class _Endpoint:
    """Where requests go to, and what of the answers is told."""

    table: HttpToolTable
    client: httpx.AsyncClient
    headers: Mapping[str, str] = field(repr=False)
    secrets: Sequence[str] = field(repr=False)
    seconds: float
    most: int

    async def ask(self, values: Values) -> str:
        """Return what it answers. Raises `ToolError`, which says why it does not, and never shows a secret."""
        try:
            status, said = await self._follow(self._request(values))
        except httpx.TimeoutException as error:
            raise ToolError(f"There was no answer within {self.seconds:g} seconds.") from error
        except httpx.InvalidURL as error:
            raise ToolError("The arguments make no address; they may be too long.") from error
        except httpx.HTTPError as error:
            raise ToolError(f"The service cannot be reached ({type(error).__name__}).") from error
        for secret in self.secrets:
            if len(secret) >= _SHORTEST_SECRET:
                said = said.replace(secret, "…")
        if status >= httpx.codes.BAD_REQUEST:
            why = f"{status} {httpx.codes.get_reason_phrase(status)}".strip()
            raise ToolError(f"The service has answered {why}: {said[:_EXCERPT]}".rstrip(": "))
        return said or "Done."

    def _request(self, values: Values) -> httpx.Request:
        url, left = address(self.table.url, values)
        body = left if self.table.method in ("POST", "PUT", "PATCH") else None
        if body is None and left:
            url += ("&" if urlsplit(url).query else "?") + _query(left)
        headers = {"Accept": "application/json, text/*;q=0.9", "Accept-Encoding": "identity", **self.headers}
        return self.client.build_request(
            self.table.method, url, json=body, headers=headers, timeout=self.seconds
        )

    async def _follow(self, request: httpx.Request) -> tuple[int, str]:
        """Return the status and the words of the answer, wherever in the same place it is."""
        for _ in range(_REDIRECTS):
            answer = await self.client.send(request, stream=True, follow_redirects=False)
            try:
                if answer.next_request is None:
                    return answer.status_code, await self._read(answer)
            finally:
                await answer.aclose()
            if _origin(answer.next_request.url) != _origin(request.url):
                raise ToolError("The service sends us elsewhere, where we do not go.")
            request = answer.next_request
        raise ToolError(f"The service has sent us on {_REDIRECTS} times.")

    async def _read(self, answer: httpx.Response) -> str:
        """Return what is said, as far as a model would be told of it anyway."""
        kind = answer.headers.get("content-type", "text/plain").partition(";")[0].strip().lower()
        if not (kind.startswith("text/") or kind == "application/json" or kind.endswith(("+json", "/xml"))):
            raise ToolError(f"The service has answered with {kind}, which nobody can read out.")
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise ToolError("The service has compressed its answer, which it was not asked to.")
        body, most = bytearray(), self.most * _BYTES_OF_A_CHAR
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > most:
                break
        text = body[:most].decode(answer.charset_encoding or "utf-8", errors="replace").strip()
        return _compact(text) if "json" in kind else text


def address(url: str, values: Values) -> tuple[str, Values]:
    """Return the address with its arguments filled in, and the arguments that are left.

    Whatever they are, scheme, host and path stay those that were written: an argument is one segment of the
    path, or one value of the query. Raises `ToolError` for one that can be no segment.
    """
    parts = urlsplit(url)
    path = "/".join(_segment(segment, values) for segment in parts.path.split("/"))
    pairs = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True)]
    kept = [(name, _filled(value, values)) for name, value in pairs if _is_given(value, values)]
    query = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in kept)
    used = {*placeholders(parts.path), *placeholders(parts.query)}
    left = {name: value for name, value in values.items() if name not in used}
    return parts._replace(path=path, query=query).geturl(), left


def _segment(segment: str, values: Values) -> str:
    """Return one segment of a path, which stays one: servers may read `%2F` as `/`, and `..` as the way up."""
    for name in placeholders(segment):
        text = _plain(values[name])
        if not text.strip() or set(text) & set("/\\") or not text.isprintable():
            raise ToolError(f"{name}: {text!r} cannot be part of an address; needed is a word or a number.")
    filled = _PLACEHOLDER.sub(lambda found: quote(_plain(values[found[1]]), safe=""), segment)
    if filled != segment and not unquote(filled).strip("."):
        raise ToolError(f"{filled!r} cannot be part of an address; needed is a word or a number.")
    return filled


def _is_given(text: str, values: Values) -> bool:
    return all(values.get(name) is not None for name in placeholders(text))


def _filled(text: str, values: Values) -> str:
    return _PLACEHOLDER.sub(lambda found: _plain(values[found[1]]), text)


def _query(values: Values) -> str:
    pairs = [
        (name, one)
        for name, value in values.items()
        if value is not None
        for one in (value if isinstance(value, list) else [value])
    ]
    return "&".join(f"{quote(name, safe='')}={quote(_plain(one), safe='')}" for name, one in pairs)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _compact(text: str) -> str:
    """Return JSON without spaces, which a model would have to read; what is cut off, or no JSON, as it is."""
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
    except ValueError:
        return text
