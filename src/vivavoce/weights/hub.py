"""Weights from a hub, by plain HTTPS: one file of one revision, taken up again where a connection broke."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from urllib.parse import quote

import httpx

from vivavoce.weights.files import CHUNK
from vivavoce.weights.manifest import HubSource
from vivavoce.weights.wheels import Unreachable

__all__ = ["HUB", "Arriving", "asked"]

HUB = "https://huggingface.co"
PATIENCE_SECONDS = 30
TRIES = 5


@dataclass(frozen=True)
class Arriving:
    """A file on its way. `size` in bytes and `sha256` are what the hub says of it, where it says so."""

    chunks: Iterator[bytes]
    size: int | None
    sha256: str | None


@contextmanager
def asked(source: HubSource, stop: Event, *, hub: str = HUB, token: str = "") -> Iterator[Arriving]:
    """Ask the hub for a file; its chunks may be read inside the block.

    Raises `Unreachable`, also when `stop` is set. `token` opens repositories that are not public; it is not
    sent on to where the hub redirects to.
    """
    url = f"{hub.rstrip('/')}/{source.repo}/resolve/{quote(source.revision, safe='')}/{quote(source.file)}"
    headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {token}"} if token else {})
    with httpx.Client(headers=headers, timeout=PATIENCE_SECONDS, follow_redirects=True) as client:
        response = _get(client, url, 0)
        sha256 = next((tag for each in (*response.history, response) if (tag := _sha256(each))), None)
        length = response.headers.get("Content-Length")
        yield Arriving(_chunks(client, response, url, stop), int(length) if length else None, sha256)


def _chunks(client: httpx.Client, response: httpx.Response, url: str, stop: Event) -> Iterator[bytes]:
    done = 0
    for tries_left in reversed(range(TRIES)):
        try:
            for chunk in response.iter_raw(CHUNK):
                if stop.is_set():
                    raise Unreachable("given up")
                done += len(chunk)
                yield chunk
            return
        except httpx.TransportError as error:
            if not tries_left:
                raise Unreachable(f"{url}: the connection broke {TRIES} times") from error
        finally:
            response.close()
        response = _get(client, url, done)


def _get(client: httpx.Client, url: str, start: int) -> httpx.Response:
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        response = client.send(client.build_request("GET", url, headers=headers), stream=True)
    except httpx.HTTPError as error:
        raise Unreachable(f"{url} cannot be reached: {error}") from error
    if response.status_code != (206 if start else 200):
        response.close()
        raise Unreachable(f"{url} answered {response.status_code} {response.reason_phrase}")
    return response


def _sha256(response: httpx.Response) -> str | None:
    """Return the checksum that the hub gives for large files, on the answer that leads to their storage."""
    tag = response.headers.get("X-Linked-Etag", "").strip('"').lower()
    return tag if len(tag) == 64 and not set(tag) - set("0123456789abcdef") else None
