"""Other spellings of items: OpenAI's recorded `conversation.item.retrieved`, and the beta, leave out a prefix.

Parts called `audio` and `text` are `output_audio` and `output_text` in an assistant's message, `input_audio`
and `input_text` in anybody else's. What an assistant said has words or none; some servers write null for that.
"""

__all__ = ["respelled"]


def respelled(value: object) -> object:
    """Return an event, as JSON values, with the parts of all its messages spelled in full."""
    match value:
        case {"type": "message", "content": list(content), **rest}:
            side = "output" if rest.get("role") == "assistant" else "input"
            return {"type": "message", **rest, "content": [_part(part, side) for part in content]}
        case dict():
            return {name: respelled(one) for name, one in value.items()}
        case list():
            return [respelled(one) for one in value]
        case _:
            return value


def _part(part: object, side: str) -> object:
    match part:
        case {"type": "audio" | "text" as kind, **rest}:
            told = {name: one for name, one in rest.items() if one is not None or side == "input"}
            return {"type": f"{side}_{kind}", **told}
        case _:
            return part
