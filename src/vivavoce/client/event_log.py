"""A log of the events that a client has sent and received, with time and source."""

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import msgspec

from vivavoce.dates import iso_now
from vivavoce.errors import ConfigError
from vivavoce.session.loggable import loggable
from vivavoce.session.middleware import ObservedEvent

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Logged:
    """One event: `at` in seconds of the event loop's clock, `time` in UTC (ISO 8601).

    Audio is replaced by its number of bytes (`"audio": 9600`), long strings are cut, and the credentials of MCP
    servers are left out.
    """

    time: str
    at: float
    source: Literal["client", "server"]
    event: dict[str, object]

    @property
    def type(self) -> str:
        return str(self.event["type"])


class EventLog:
    """The newest `max_events` events, oldest first. Supports `len`, iteration, and `write`."""

    def __init__(self, max_events: int) -> None:
        self._entries: deque[Logged] = deque(maxlen=max_events)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Logged]:
        return iter(tuple(self._entries))

    def on_event(self, observed: ObservedEvent) -> None:
        """Append an event. This is a `Listener`, so a log can record a server's conversation as well."""
        logged = Logged(iso_now(), observed.at, observed.source, loggable(observed.event))
        self._entries.append(logged)
        log.debug("%s %s", logged.source, logged.event)

    def clear(self) -> None:
        """Remove all events."""
        self._entries.clear()

    def write(self, path: Path | str) -> None:
        """Write the events to a file, as JSON lines. Raises `ConfigError` if it cannot be written."""
        lines = [msgspec.json.encode(replace(one, at=round(one.at, 3))) + b"\n" for one in self._entries]
        try:
            Path(path).write_bytes(b"".join(lines))
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error
