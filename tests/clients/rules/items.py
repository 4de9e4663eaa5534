"""Items: added once and in their place, done once, and nothing refers to one that is not there."""

from dataclasses import dataclass, field

from clients.rules.score import Complaints, Event

__all__ = ["Items"]

ASKS = {
    "conversation.item.delete": "conversation.item.deleted",
    "conversation.item.truncate": "conversation.item.truncated",
    "conversation.item.retrieve": "conversation.item.retrieved",
}


@dataclass
class Items:
    """Keeps the list as a client would, from what the server says."""

    complaints: Complaints
    beta: bool = False
    plays: bool = False
    order: list[str] = field(default_factory=list)
    known: dict[str, Event] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    truncated: set[str] = field(default_factory=set)
    expected: set[str] = field(default_factory=set)
    """Items that an answer or the caller's speech has announced, and that are yet to be added."""
    in_answers: set[str] = field(default_factory=set)
    _created: list[Event] = field(default_factory=list)
    _asked: list[tuple[str, str]] = field(default_factory=list)

    def asked(self, kind: str, event: Event) -> None:
        if kind == "conversation.item.create":
            self._created.append(event)
        elif kind in ASKS:
            self._asked.append((ASKS[kind], event.get("item_id", "")))

    def told(self, kind: str, event: Event) -> None:
        match kind:
            case "conversation.item.added":
                self._added(event["item"], event.get("previous_item_id"))
            case "conversation.item.done":
                self._done(event["item"], event.get("previous_item_id"))
            case "conversation.item.retrieved":
                self._answers(kind, event["item"]["id"])
                same = self.known.get(event["item"]["id"], {})
                for name in ("type", "role", "call_id", "name"):
                    self.complaints.expect(event["item"].get(name) == same.get(name), f"{name} stays the same")
            case "conversation.item.truncated":
                self.truncated.add(event["item_id"])
                if not self.plays:
                    self._answers(kind, event["item_id"])
            case "conversation.item.deleted":
                self._answers(kind, event["item_id"])
                if event["item_id"] in self.order:
                    self.order.remove(event["item_id"])

    def settled(self) -> bool:
        """Say whether all that was said or put in is done; only an answer, or an MCP server, takes its time."""
        made = (one for one in self.known.values() if not one["type"].startswith("mcp_"))
        return all(one["id"] in self.done | self.in_answers for one in made)

    def _answers(self, kind: str, item_id: str) -> None:
        self.complaints.expect((kind, item_id) in self._asked, "the client has asked for it")
        if (kind, item_id) in self._asked:
            self._asked.remove((kind, item_id))
        self.complaints.expect(item_id in self.order, "the item is in the conversation")

    def _added(self, item: Event, previous: str | None) -> None:
        expect, item_id = self.complaints.expect, item["id"]
        expect(item_id not in self.order, "an item is added once, unless it was deleted")
        expect(self.settled(), "the item before it is done")
        self.done.discard(item_id)
        place = self._place(item)
        expect(previous == place, f"its place is after {place}, not after {previous}")
        self.known[item_id] = item
        self.order.insert(self.order.index(place) + 1 if place in self.order else 0, item_id)
        if self.beta:
            self.done.add(item_id)

    def _place(self, item: Event) -> str | None:
        """Return after which item a new one must come: where its creator wants it, or at the end."""
        last = self.order[-1] if self.order else None
        if item["id"] in self.expected:
            self.expected.remove(item["id"])
            return last
        if item["type"] in ("mcp_list_tools", "mcp_approval_request"):  # the server's own
            return last
        asked = next((one for one in self._created if _is(item, one["item"])), None)
        self.complaints.expect(asked, "somebody has announced it")
        if asked is None:
            return last
        self._created.remove(asked)
        wanted = asked.get("previous_item_id")
        return None if wanted == "root" else wanted or last

    def _done(self, item: Event, previous: str | None) -> None:
        expect, item_id = self.complaints.expect, item["id"]
        expect(item_id in self.known, "it was added before")
        expect(item_id not in self.done, "an item is done once")
        expect(item.get("status", "completed") in ("completed", "incomplete"), "it is no longer in progress")
        self.done.add(item_id)
        if item_id in self.order:
            at = self.order.index(item_id)
            before = self.order[at - 1] if at else None
            expect(previous == before, f"it comes after {before}, not after {previous}")


def _is(item: Event, wanted: Event) -> bool:
    """Say whether this may be the item that the client asked for."""
    names = ("id", "type", "role", "call_id", "output", "approval_request_id")
    return all(item.get(name) == wanted[name] for name in names if name in wanted)
