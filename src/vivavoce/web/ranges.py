"""Byte ranges (RFC 9110, section 14): a player asks for the part that it plays."""

import re

from starlette.datastructures import Headers

from vivavoce.web.errors import HttpError

_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.IGNORECASE)


def byte_range(headers: Headers, size: int, etag: str) -> tuple[int, int] | None:
    """Return the first byte that a client asks for, and the one after the last; None if it asks for all.

    That is so for several ranges, too, which a server need not send, and if the client has a part of something
    else (`If-Range`). Raises `HttpError` (416) for a range in which there is nothing.
    """
    asked = _RANGE.fullmatch(headers.get("range", ""))
    if asked is None or asked[1] + asked[2] == "" or headers.get("if-range", etag) != etag:
        return None
    first, last = asked.groups()
    if not first:  # a suffix: so many bytes from the end
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
        if last and int(last) < int(first):  # no valid range, which is to be ignored
            return None
    if start >= end:
        message = f"There are {size} bytes; ask for a part of them, or leave Range out."
        raise HttpError(
            416, message, code="range_not_satisfiable", headers={"content-range": f"bytes */{size}"}
        )
    return start, end
