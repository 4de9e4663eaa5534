"""What endpoints refuse in a request, and how to ask them instead.

An endpoint that refuses a parameter names it, in `param` or somewhere in its message. Whatever the request can
do without is then left out, or put in the way that the endpoint accepts.
"""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import cast

from vivavoce.providers.openai.errors import EndpointError, refused_parameter

WRONG_NUMBER = "this number of tokens"
"""refused once; another number may be right"""

Objects = list[dict[str, object]]

_OUTPUT_TOKENS = ("max_tokens", "max_completion_tokens")
_OPTIONAL = (
    *"stream_options temperature parallel_tool_calls tool_choice top_p seed".split(),
    *"frequency_penalty presence_penalty logit_bias".split(),
)
"""What may be left out: the answer is then less as it was wanted, but it is an answer."""
_NUMBER = re.compile(r"too |at (most|least)|m(ax|in)imum|exceed|(less|greater) than", re.IGNORECASE)
_SYSTEM_ROLE = re.compile(r"\bsystem\b.{0,40}\brole\b|\brole\b.{0,60}\bsystem\b", re.IGNORECASE)
_IN_A_ROW = re.compile(r"alternat|successive", re.IGNORECASE)
_LACKS = {
    name: re.compile(rf"missing.{{0,20}}\b{name}\b|\b{name}\b.{{0,40}}required")
    for name in ("content", "parameters")
}
_CALL_ID = re.compile(r"tool.?call.?id", re.IGNORECASE)
_NO_SIGNATURE = {"google": {"thought_signature": "skip_thought_signature_validator"}}
"""what Gemini accepts in place of the signature of a call that it has not made"""
_OPENING = "(The conversation begins.)"


def find_refused(error: EndpointError, body: Mapping[str, object]) -> str:
    """Return what an endpoint refuses of a request, for `adapt`; empty if it failed for another reason."""
    if error.param == "stream" and "stream" in body:
        return "stream"
    if "strict" in error.param and _is_strict(body):
        return "strict"
    name = refused_parameter(error, [name for name in (*_OUTPUT_TOKENS, *_OPTIONAL) if name in body])
    if name in _OUTPUT_TOKENS and _NUMBER.search(error.detail):
        return WRONG_NUMBER
    return name or _refused_of_messages(error.detail, body)


def _refused_of_messages(detail: str, body: Mapping[str, object]) -> str:
    messages, calls = _messages(body)
    has_system = any(one["role"] == "system" for one in messages)
    if _IN_A_ROW.search(detail):
        return "roles in a row" if _alternating(messages) != messages else "system" if has_system else ""
    if _SYSTEM_ROLE.search(detail) and has_system:
        return "system"
    functions = [cast("dict[str, object]", tool["function"]) for tool in cast("Objects", body.get("tools", []))]
    for name, things in (("content", messages), ("parameters", functions)):
        if _LACKS[name].search(detail) and any(name not in one for one in things):
            return f"missing {name}"
    if "reasoning_content" in detail and any(_lacks_thoughts(one) for one in messages):
        return "missing thoughts"
    if "thought_signature" in detail and any("extra_content" not in call for call in calls):
        return "unsigned calls"
    if _CALL_ID.search(detail) and any(not _is_short(str(call["id"])) for call in calls):
        return "long call ids"
    return ""


def adapt(body: dict[str, object], refused: Collection[str]) -> None:
    """Change a request so that it does without what the endpoint refuses."""
    for name in (*refused, *(_OUTPUT_TOKENS if WRONG_NUMBER in refused else ())):
        _leave_out(body, name)
    if "roles in a row" in refused:  # at last: a system message may have become the user's
        body["messages"] = _alternating(_messages(body)[0])


def _leave_out(body: dict[str, object], name: str) -> None:
    messages, calls = _messages(body)
    match name:
        case "max_tokens" if name in body:
            body["max_completion_tokens"] = body.pop(name)
        case "stream":
            body.pop("stream", None)
            body.pop("stream_options", None)
        case "strict" if _is_strict(body):
            form = cast("dict[str, dict[str, object]]", body["response_format"])
            schema = {key: value for key, value in form["json_schema"].items() if key != "strict"}
            body["response_format"] = {**form, "json_schema": schema}
        case "system":
            for message in messages:
                message["role"] = "user" if message["role"] == "system" else message["role"]
        case "missing content":
            for message in messages:
                message.setdefault("content", "")
        case "missing parameters":
            for tool in cast("list[dict[str, dict[str, object]]]", body["tools"]):
                tool["function"].setdefault("parameters", {"type": "object", "properties": {}})
        case "missing thoughts":  # DeepSeek and Kimi, while they think; empty ones will do
            for message in filter(_lacks_thoughts, messages):
                message["reasoning_content"] = ""
        case "unsigned calls":
            for call in calls:
                call.setdefault("extra_content", _NO_SIGNATURE)
        case "long call ids":
            for call in calls:
                call["id"] = _short(call["id"])
            for message in messages:
                if "tool_call_id" in message:
                    message["tool_call_id"] = _short(message["tool_call_id"])
        case _:
            body.pop(name, None)


def _messages(body: Mapping[str, object]) -> tuple[Objects, Objects]:
    """Return the messages of a request, and the tool calls in them."""
    messages = cast("Objects", body["messages"])
    return messages, [call for one in messages for call in cast("Objects", one.get("tool_calls", []))]


def _lacks_thoughts(message: Mapping[str, object]) -> bool:
    return message["role"] == "assistant" and "reasoning_content" not in message


def _is_short(call_id: str) -> bool:
    return bool(re.fullmatch("[a-zA-Z0-9]{9}", call_id))


def _short(call_id: object) -> str:
    return hashlib.sha256(str(call_id).encode()).hexdigest()[:9]


def _is_strict(body: Mapping[str, object]) -> bool:
    form = body.get("response_format")
    return isinstance(form, Mapping) and "strict" in form.get("json_schema", {})


def _alternating(messages: Sequence[Mapping[str, object]]) -> Objects:
    """Return messages in which user and assistant alternate, after at most one system message."""
    merged = Objects()
    for at, message in enumerate(messages):
        role = "user" if at and message["role"] == "system" else message["role"]
        last = merged[-1] if merged else {}
        if role == "assistant" and not [one for one in merged if one["role"] != "system"]:
            merged.append({"role": "user", "content": _OPENING})
        if role == last.get("role") != "tool" and "tool_calls" not in last:
            merged[-1] = {**last, **message, "role": role, "content": _joined(last, message)}
        else:
            merged.append({**message, "role": role})
    return merged


def _joined(first: Mapping[str, object], second: Mapping[str, object]) -> object:
    contents = [one["content"] for one in (first, second) if one.get("content")]
    if all(isinstance(content, str) for content in contents):
        return "\n\n".join(cast("list[str]", contents))
    parts = [[{"type": "text", "text": one}] if isinstance(one, str) else one for one in contents]
    return [part for content in cast("list[list[object]]", parts) for part in content]
