"""Dates for clients to read. Time that is waited for is the event loop's."""

from datetime import UTC, datetime


def unix_now() -> int:
    """Return the seconds since 1970, as `expires_at` and `created` have them."""
    return int(datetime.now(UTC).timestamp())  # noqa: TID251  # the wire wants a date


def iso_now() -> str:
    """Return the time in UTC, to the millisecond, as ISO 8601 writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")  # noqa: TID251  # people want a date
