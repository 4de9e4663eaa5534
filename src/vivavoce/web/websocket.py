"""uvicorn's WebSocket, adapted for clients that send audio fifty times a second, or invalid UTF-8.

Only this file depends on uvicorn's protocol class; `tests/web/test_uvicorn_internals.py` checks how.
"""

from collections.abc import Callable

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from vivavoce.transports.websocket import RECEIVE_NOWAIT

SMALL_BYTES = 16 * 1024
MAX_QUEUED_FRAMES = 16
"""small frames that may be queued; beyond that, or after a large one, reading pauses until all are read"""


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Passes text on as the received bytes, valid UTF-8 or not: `text` in the ASGI message is `bytes` here.

    It provides the extension `RECEIVE_NOWAIT`, and queues some small frames, where uvicorn pauses reading after
    each frame.
    """

    _on_text: Callable[[bytes], bool] | None = None

    def on_text(self, function: Callable[[bytes], bool]) -> None:
        """Pass each text frame to this function from now on; it returns whether it has processed it."""
        self._on_text = function

    def handle_connect(self, event: Request) -> None:
        """Start the application for a connection."""
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"][RECEIVE_NOWAIT] = {"on_text": self.on_text}

    def send_receive_event_to_app(self) -> None:
        """Process a message, in the order of arrival."""
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
