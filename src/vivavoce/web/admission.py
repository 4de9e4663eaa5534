"""Places for requests that keep the models busy: so many at once, and not before the models are loaded."""

from collections.abc import Iterator
from contextlib import contextmanager

from vivavoce.runtime import Runtime
from vivavoce.web.errors import Refused, not_ready

__all__ = ["Admission"]


class Admission:
    """As many as `limits.http_requests` says, shared by all endpoints. `taken` counts those at work."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self.taken = runtime, 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Take a place for as long as the block lasts. Raises `Refused` while there is none."""
        limit = self.runtime.config.limits.http_requests
        if not self.runtime.ready:
            raise not_ready()
        if not self.runtime.has_speech:
            message = (
                "A server far away answers calls here, so no model of this machine is loaded for this. "
                "The owner can write [remote] failover = true, or engine = 'cascade'."
            )
            raise Refused(501, message, code="not_configured")
        if self.taken >= limit:
            message = f"All {limit} places (limits.http_requests) are taken; try again in a moment."
            raise Refused(503, message, code="server_busy", retry=True)
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
