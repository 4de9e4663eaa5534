"""Dates for clients to read. What we wait for ourselves is counted by the event loop."""

from datetime import UTC, datetime

__all__ = ["unix_now"]


def unix_now() -> int:
    """Return the seconds since 1970, as `expires_at` and `created` have them."""
    return int(datetime.now(UTC).timestamp())  # noqa: TID251  # the wire wants a date
