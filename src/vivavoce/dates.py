"""The date and time, for clients to read. Durations and deadlines use the clock of the event loop instead."""

from datetime import UTC, datetime


def unix_now() -> int:
    """Return the Unix time in seconds, for fields such as `expires_at` and `created`."""
    return int(datetime.now(UTC).timestamp())  # noqa: TID251  # the wire wants a date


def iso_now() -> str:
    """Return the time in UTC as ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")  # noqa: TID251  # people want a date
