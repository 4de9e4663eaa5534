"""The calls of uploads: each stays open for a while, so that the next upload goes on with it.

That keeps what a stored conversation does not have: a tool that waits for the user's yes, and what the chat
model has read already. When it is over, the next upload continues what was stored.
"""

from collections.abc import AsyncIterator, Callable
from math import inf

import anyio

from vivavoce.errors import ProtocolError
from vivavoce.limits import Limits
from vivavoce.transports.base import Handshake
from vivavoce.transports.upload import CALL_ENDED, Upload, UploadedQuestion, UploadTransport
from vivavoce.web.errors import HttpError

WAITING = 1
"""questions that may wait for the one that is being answered"""


class UploadCall:
    """One call, to which questions are put by one request after the other.

    It ends when there was none for `idle_seconds`, or by `end`; `on_idle` is called when it begins to wait.
    `must_continue` is as that of `Upload`.
    """

    def __init__(
        self,
        handshake: Handshake,
        *,
        must_continue: bool,
        idle_seconds: float,
        on_idle: Callable[[], None],
    ) -> None:
        self.upload = Upload(self._questions(), handshake, must_continue)
        self.idle_since = inf
        """when it began to wait, by the event loop's clock; `inf` while it does not"""
        self.is_over = False
        self._idle_seconds, self._on_idle = idle_seconds, on_idle
        self._asked = list[UploadedQuestion]()
        """the question that is being answered, and those that wait"""
        self._changed = anyio.Event()

    def ask(self, question: UploadedQuestion) -> None:
        """Put a question. Raises `HttpError` if too many wait."""
        if len(self._asked) > WAITING:
            message = "Other questions of this conversation are still being answered; wait for their answers."
            raise HttpError(429, message, code="conversation_busy", retry=True)
        self._asked.append(question)
        self._changed.set()

    def end(self, failure: ProtocolError | None = None) -> None:
        """Take no more questions; those that are not answered fail."""
        self.is_over = True
        self._changed.set()
        message = "The conversation was ended before there was an answer; ask again."
        for question in self._asked:
            question.finish(failure or ProtocolError(message, code=CALL_ENDED))

    async def _questions(self) -> AsyncIterator[UploadedQuestion]:
        while not self.is_over:
            if self._asked:
                yield self._asked[0]
                del self._asked[0]
            else:
                await self._wait()

    async def _wait(self) -> None:
        """Wait for the next question; if there is none in time, the call is over."""
        self._changed, self.idle_since = anyio.Event(), anyio.current_time()
        self._on_idle()
        with anyio.move_on_after(self._idle_seconds):
            await self._changed.wait()
        self.idle_since = inf
        self.is_over = self.is_over or not self._asked


class UploadCalls:
    """The open calls of an endpoint, by the id of the conversation."""

    def __init__(self, transport: UploadTransport, limits: Limits) -> None:
        self._transport, self._limits = transport, limits
        self._calls: dict[str, UploadCall] = {}

    def find(self, conversation_id: str, identity: str | None) -> UploadCall | None:
        """Return the open call of a conversation, if there is one of this person's."""
        call = self._calls.get(conversation_id)
        return call if call and not call.is_over and call.upload.handshake.identity == identity else None

    def open(self, handshake: Handshake, *, must_continue: bool) -> UploadCall:
        """Return a new call, which is to be run."""
        idle_seconds = self._limits.upload_idle_seconds
        return UploadCall(
            handshake, must_continue=must_continue, idle_seconds=idle_seconds, on_idle=self._end_oldest
        )

    async def run(self, call: UploadCall) -> None:
        """Run a call until it ends; its questions are told why they have no answer."""
        self._calls[call.upload.id] = call
        refusal: ProtocolError | None = None
        try:
            await self._transport.accept(call.upload)
        except ProtocolError as error:
            refusal = error
        finally:
            call.end(refusal)
            del self._calls[call.upload.id]

    def _end_oldest(self) -> None:
        """End the call that has waited longest, if too many do."""
        waiting = [call for call in self._calls.values() if call.idle_since < inf]
        if len(waiting) > self._limits.upload_idle_calls:
            min(waiting, key=lambda call: call.idle_since).end()
