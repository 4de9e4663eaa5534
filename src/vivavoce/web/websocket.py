"""uvicorn's WebSocket, for clients that send sound fifty times a second and sometimes nonsense."""

from collections.abc import Callable

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from vivavoce.transports.websocket.transport import AT_ONCE

__all__ = ["WebSocketProtocol"]

SMALL_BYTES = 16 * 1024
DEPTH = 16
"""Of small frames so many may wait to be heard; then, or after a large one, reading pauses until none waits."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Hands text on as the bytes that came, be they UTF-8 or not: `text` of ASGI's message is `bytes` here.

    It has the extension `AT_ONCE`, and lets some small frames wait where uvicorn pauses the reading for each.
    """

    _hear: Callable[[bytes], bool] | None = None

    def hear(self, function: Callable[[bytes], bool]) -> None:
        """Offer each text frame to this function from now on; it tells whether it took it."""
        self._hear = function

    def handle_connect(self, event: Request) -> None:
        """Begin a conversation with the application."""
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"][AT_ONCE] = {"hear": self.hear}

    def send_receive_event_to_app(self) -> None:
        """Hand a message on, in the order in which all came."""
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.close_sent:
            return
        if self.curr_msg_data_type == "bytes":
            self.queue.put_nowait({"type": "websocket.receive", "bytes": data})
        elif self._hear is None or not self.queue.empty() or not self._hear(data):
            self.queue.put_nowait({"type": "websocket.receive", "text": data})  # type: ignore[typeddict-item]
        else:
            return  # heard: nothing waits, and so nobody would resume the reading
        if not self.read_paused and (len(data) > SMALL_BYTES or self.queue.qsize() >= DEPTH):
            self.read_paused = True
            self.transport.pause_reading()
