"""The date and time, for clients to read. Durations and deadlines use the clock of the event loop instead."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)  # noqa: TID251  # people, and the wire, want a date


def unix_now() -> int:
    """Return the Unix time in seconds, for fields such as `expires_at` and `created`."""
    return int(utc_now().timestamp())


def iso_now() -> str:
    """Return the time in UTC as ISO 8601, to the millisecond."""
    return utc_now().isoformat(timespec="milliseconds")
