"""A conversation as JSON, Markdown or subtitles. Each takes a record of `queries.find_conversation`."""

from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import pairwise

import msgspec

from vivavoce.store.queries import Record

READING_SECONDS = 3
"""how long a subtitle stands whose end is not known"""


def to_json(record: object) -> str:
    """Return JSON that people can read, such as that of all that is stored of a conversation."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2).decode() + "\n"


def to_markdown(record: Record) -> str:
    """Return a conversation to be read: who said what, with tool calls, and what of an answer was not heard."""
    started: datetime = record["started"]
    models = ", ".join(f"{role}: {name}" for role, name in (record["models"] or {}).items())
    about = f"`{record['id']}`, by {record['transport']}; {models}"
    head = f"# Conversation of {started:%Y-%m-%d %H:%M} UTC\n\n{about}\n"
    return "\n".join([head, *(f"{line}\n" for item in record["items"] if (line := _markdown(item)))])


def _markdown(item: Record) -> str:
    match item["type"]:
        case "message" if (item["text"] or "").strip():
            heard, unheard = heard_and_unheard(item)
            said = f"{heard} ~~{unheard}~~".strip() if unheard else heard
            return f"**{speaker(item)}** ({clock(item)}): {said}"
        case "function_call" | "mcp_call":
            output = f" → `{item['output']}`" if item["output"] else ""
            return f"*{item['name']}*(`{item['arguments']}`){output}"
        case "function_call_output":
            return f"→ `{item['output']}`"
        case _:
            return ""


def heard_and_unheard(item: Record) -> tuple[str, str]:
    """Return what was heard of a message, and what was cut off."""
    text, heard = (str(item[name] or "").strip() for name in ("text", "heard"))
    unheard = text.removeprefix(heard).strip() if item["role"] == "assistant" else ""
    return (heard if unheard else text), unheard


def to_srt(record: Record) -> str:
    """Return what was said and heard as subtitles (SubRip), by the time since the conversation began."""
    said = [item for item in record["items"] if item["type"] == "message" and (item["heard"] or "").strip()]
    starts = [start_of(item, record) for item in said]
    ends = [
        max(float(item["ended"] or start + READING_SECONDS), start)
        for item, start in zip(said, starts, strict=True)
    ]
    shown = [
        min(end, max(after, start + 0.1))
        for (start, after), end in zip(pairwise([*starts, float("inf")]), ends, strict=True)
    ]
    cues = [
        f"{number}\n{_srt_time(start)} --> {_srt_time(end)}\n{speaker(item)}: {item['heard'].strip()}\n"
        for number, (item, start, end) in enumerate(zip(said, starts, shown, strict=True), 1)
    ]
    return "\n".join(cues)


def start_of(item: Record, record: Record) -> float:
    """Return the seconds from the start of the conversation to the start of an item."""
    if item["began"] is not None:
        return float(item["began"])
    return float((item["created"] - record["started"]).total_seconds())


def speaker(item: Record) -> str:
    """Return who said something, for people."""
    return {"user": "Caller", "assistant": "Assistant"}.get(item["role"], "System")


def clock(item: Record) -> str:
    """Return when an item was made, as a time of day in UTC."""
    created: datetime = item["created"]
    return f"{created:%H:%M:%S}"


def _srt_time(seconds: float) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"


FORMATS: Mapping[str, Callable[[Record], str]] = {"json": to_json, "markdown": to_markdown, "srt": to_srt}
