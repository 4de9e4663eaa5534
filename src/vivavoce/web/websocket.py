"""uvicorn's WebSocket, for clients that send audio fifty times a second and sometimes invalid text.

The one file that knows uvicorn's protocol class; `tests/web/test_uvicorn_internals.py` says what it relies on.
"""

from collections.abc import Callable

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from vivavoce.transports.websocket import RECEIVE_NOWAIT

SMALL_BYTES = 16 * 1024
MAX_QUEUED_FRAMES = 16
"""So many small frames may be queued; then, or after a large one, reading pauses until the queue is empty."""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Passes text on as the bytes that came, be they UTF-8 or not: `text` of ASGI's message is `bytes` here.

    It has the extension `RECEIVE_NOWAIT`, and queues some small frames where uvicorn pauses reading for each.
    """

    _on_text: Callable[[bytes], bool] | None = None

    def on_text(self, function: Callable[[bytes], bool]) -> None:
        """Offer each text frame to this function from now on; it returns whether it has processed it."""
        self._on_text = function

    def handle_connect(self, event: Request) -> None:
        """Start the application for a connection."""
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"][RECEIVE_NOWAIT] = {"on_text": self.on_text}

    def send_receive_event_to_app(self) -> None:
        """Pass a message on, in the order in which all came."""
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.close_sent:
            return
        if self.curr_msg_data_type == "bytes":
            self.queue.put_nowait({"type": "websocket.receive", "bytes": data})
        elif self._on_text is None or not self.queue.empty() or not self._on_text(data):
            self.queue.put_nowait({"type": "websocket.receive", "text": data})  # type: ignore[typeddict-item]  # bytes
        else:
            return  # processed: nothing is queued, and so nothing would resume reading
        if not self.read_paused and (len(data) > SMALL_BYTES or self.queue.qsize() >= MAX_QUEUED_FRAMES):
            self.read_paused = True
            self.transport.pause_reading()
