"""The items of a conversation (Realtime GA, `conversation.item`)."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

ItemStatus = Literal["in_progress", "completed", "incomplete"]
Role = Literal["system", "user", "assistant"]
Purpose = Literal["apology", "filler"]
"""What words of the assistant are that are no answer: said because something failed, or to fill the time."""


def purpose_of(text: object) -> Purpose | None:
    """Return the purpose that the id of a message begins with (`apology_…`, `filler_…`), if it does."""
    match str(text).partition("_")[0]:
        case "apology" | "filler" as purpose:
            return purpose
        case _:
            return None


# content of messages


class InputText(Struct, tag_field="type", tag="input_text", frozen=True, kw_only=True):
    text: str


class InputAudio(Struct, tag_field="type", tag="input_audio", frozen=True, kw_only=True):
    """Spoken input. Only `conversation.item.retrieved` contains `audio`; `transcript` is null until known."""

    audio: bytes | UnsetType = UNSET
    transcript: str | UnsetType | None = UNSET


class InputImage(Struct, tag_field="type", tag="input_image", frozen=True, kw_only=True):
    image_url: str
    detail: Literal["auto", "low", "high"] | UnsetType = UNSET


class OutputText(Struct, tag_field="type", tag="output_text", frozen=True, kw_only=True):
    text: str


class OutputAudio(Struct, tag_field="type", tag="output_audio", frozen=True, kw_only=True):
    audio: bytes | UnsetType = UNSET
    transcript: str | UnsetType = UNSET


ContentPart = InputText | InputAudio | InputImage | OutputText | OutputAudio


def part_text(part: ContentPart) -> str:
    """Return what was written, or the transcript of what was spoken; empty if it is not known."""
    match part:
        case InputText(text=text) | OutputText(text=text):
            return text
        case InputAudio(transcript=str(text)) | OutputAudio(transcript=str(text)):
            return text
        case _:
            return ""


# parts as `response.content_part.*` spells them: without `output_` (the inconsistency is the protocol's)


class AudioPart(Struct, tag_field="type", tag="audio", frozen=True, kw_only=True):
    transcript: str | UnsetType = UNSET


class TextPart(Struct, tag_field="type", tag="text", frozen=True, kw_only=True):
    text: str | UnsetType = UNSET


Part = AudioPart | TextPart


class _Item(Struct, frozen=True, kw_only=True):
    id: str | UnsetType = UNSET
    object: Literal["realtime.item"] | UnsetType = UNSET
    status: ItemStatus | UnsetType = UNSET


class Message(_Item, tag_field="type", tag="message", frozen=True, kw_only=True):
    role: Role
    content: tuple[ContentPart, ...]


class FunctionCall(_Item, tag_field="type", tag="function_call", frozen=True, kw_only=True):
    """A call of a tool by the model; `arguments` is JSON text."""

    name: str
    arguments: str
    call_id: str | UnsetType = UNSET


class FunctionCallOutput(_Item, tag_field="type", tag="function_call_output", frozen=True, kw_only=True):
    call_id: str
    output: str


class McpTool(Struct, frozen=True, kw_only=True):
    name: str
    input_schema: dict[str, object]
    description: str | UnsetType | None = UNSET
    annotations: dict[str, object] | UnsetType | None = UNSET


class McpListTools(Struct, tag_field="type", tag="mcp_list_tools", frozen=True, kw_only=True):
    server_label: str
    tools: tuple[McpTool, ...]
    id: str | UnsetType = UNSET


class McpProtocolError(Struct, tag_field="type", tag="protocol_error", frozen=True, kw_only=True):
    code: int
    message: str


class McpHttpError(Struct, tag_field="type", tag="http_error", frozen=True, kw_only=True):
    code: int
    message: str


class McpToolExecutionError(Struct, tag_field="type", tag="tool_execution_error", frozen=True, kw_only=True):
    message: str


McpError = McpProtocolError | McpHttpError | McpToolExecutionError


class McpCall(Struct, tag_field="type", tag="mcp_call", frozen=True, kw_only=True):
    id: str
    server_label: str
    name: str
    arguments: str
    approval_request_id: str | UnsetType | None = UNSET
    output: str | UnsetType | None = UNSET
    error: McpError | UnsetType | None = UNSET


class McpApprovalRequest(Struct, tag_field="type", tag="mcp_approval_request", frozen=True, kw_only=True):
    id: str
    server_label: str
    name: str
    arguments: str


class McpApprovalResponse(Struct, tag_field="type", tag="mcp_approval_response", frozen=True, kw_only=True):
    """The client's answer to an `McpApprovalRequest`. Only some SDKs give it an id."""

    approval_request_id: str
    approve: bool
    id: str | UnsetType = UNSET
    reason: str | UnsetType | None = UNSET


Item = (
    Message
    | FunctionCall
    | FunctionCallOutput
    | McpListTools
    | McpCall
    | McpApprovalRequest
    | McpApprovalResponse
)


class ItemReference(Struct, tag_field="type", tag="item_reference", frozen=True, kw_only=True):
    """Refers, in the `input` of a `response.create`, to an item of the conversation."""

    id: str


def incomplete(item: Item) -> Item:
    """Return an item in progress as incomplete; others unchanged."""
    if isinstance(item, Message | FunctionCall | FunctionCallOutput) and item.status == "in_progress":
        return replace(item, status="incomplete")
    return item
