"""Answers whose words are given: a greeting, a question that must be asked just so."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from vivavoce.protocol.responses import VERBATIM, ResponseParams
from vivavoce.providers.base import ChatRequest, ChatUsage

__all__ = ["VerbatimChat", "recited"]


@dataclass(frozen=True)
class VerbatimChat:
    """In a chat model's place: it says its text, whatever it is asked."""

    text: str

    async def reply(self, request: ChatRequest) -> AsyncIterator[str | ChatUsage]:  # noqa: ARG002
        """Say it. It has cost nothing."""
        yield self.text
        yield ChatUsage(0, 0)


def recited(params: ResponseParams) -> str | None:
    """Return the words that an answer is to have, if a client gives them."""
    return (params.metadata or {}).get(VERBATIM) or None
