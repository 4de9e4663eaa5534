"""Tools of MCP servers: listed, called when the answer is over, and closed with what came of it."""

from dataclasses import dataclass, field

from clients.rules.items import Items
from clients.rules.score import Complaints, Event

__all__ = ["Servers"]

NEXT = {
    "mcp_list_tools": {"added": ["in_progress"], "in_progress": ["completed", "failed"]},
    "mcp_call": {
        "added": ["arguments"],
        "arguments": ["answered"],
        "answered": ["in_progress", "failed"],
        "in_progress": ["completed", "failed"],
    },
}
"""What comes after what. A call that nobody approved has failed without having been in progress."""
ENDED = ("completed", "failed")


@dataclass
class Thing:
    """A list of tools, or a call of one."""

    item: Event
    state: str = "added"


@dataclass
class Servers:
    """Follows every list and every call."""

    complaints: Complaints
    items: Items
    _things: dict[str, Thing] = field(default_factory=dict)
    _words: dict[str, bool] = field(default_factory=dict)

    def asked(self, kind: str, event: Event) -> None:
        item = event.get("item") or {}
        if kind == "conversation.item.create" and item.get("type") == "mcp_approval_response":
            self._words.setdefault(item["approval_request_id"], item["approve"])

    def told(self, kind: str, event: Event) -> None:
        match kind.split("."):
            case ["conversation", "item", "added"] | ["response", "output_item", "added"]:
                if event["item"]["type"] in NEXT:
                    self._things.setdefault(event["item"]["id"], Thing(event["item"]))
            case ["conversation", "item", "done"] | ["response", "output_item", "done"]:
                if event["item"]["id"] in self._things:
                    self._done(self._things[event["item"]["id"]], event["item"])
            case ["response", "mcp_call_arguments", "done"]:
                self._comes(event["item_id"], "arguments")
            case ["response", "done"]:
                for item in event["response"]["output"]:
                    if item["type"] == "mcp_call":
                        self._comes(item["id"], "answered")
            case ["mcp_list_tools", state] | ["response", "mcp_call", state]:
                self._comes(event["item_id"], state)

    def _comes(self, item_id: str, state: str) -> None:
        expect, thing = self.complaints.expect, self._things.get(item_id)
        expect(thing, "its item was added before")
        if thing is None:
            return
        expect(state in NEXT[thing.item["type"]].get(thing.state, ()), f"{state} does not follow {thing.state}")
        thing.state = state
        request = thing.item.get("approval_request_id")
        if request and state == "in_progress":
            expect(request in self.items.known and self._words.get(request), "the client has approved it")

    def _done(self, thing: Thing, item: Event) -> None:
        expect = self.complaints.expect
        expect(thing.state in ENDED, "the server is done before")
        if item["type"] == "mcp_list_tools":
            expect(thing.state == "completed" or item["tools"] == [], "what failed has listed nothing")
            return
        said, failed = isinstance(item.get("output"), str), bool(item.get("error"))
        expect(
            (said, failed) == (thing.state == "completed", thing.state == "failed"), "it holds what came of it"
        )
        for name in ("server_label", "name", "approval_request_id"):
            expect(item.get(name) == thing.item.get(name), f"{name} stays the same")
