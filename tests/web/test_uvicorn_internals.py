"""What `web/websocket.py` relies on that uvicorn does not promise. If one fails, uvicorn has changed."""

import inspect

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from vivavoce.web.websocket import WebSocketProtocol

SOURCE = inspect.getsource(WebSocketsSansIOProtocol)


def test_the_methods_that_are_overridden_are_called_by_uvicorn() -> None:
    for name in ("handle_connect", "send_receive_event_to_app"):
        ours, theirs = getattr(WebSocketProtocol, name), getattr(WebSocketsSansIOProtocol, name, None)
        assert theirs, f"uvicorn renamed {name}: WebSocketProtocol's is never called"
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)
        assert f"self.{name}(" in SOURCE


def test_the_attributes_that_are_used_are_there() -> None:
    for attribute in (
        "frames",
        "curr_msg_data_type",
        "queue",
        "close_sent",
        "read_paused",
        "transport",
        "scope",
    ):
        assert f"self.{attribute}" in SOURCE, f"uvicorn renamed {attribute}"
    assert '"extensions": {' in SOURCE, "the ASGI scope has no extensions to which RECEIVE_NOWAIT can be added"


def test_reading_resumes_once_the_queue_is_empty() -> None:
    receive = inspect.getsource(WebSocketsSansIOProtocol.receive)
    assert "if self.read_paused and self.queue.empty()" in receive, "paused reading is resumed in another way"
    assert "self.transport.resume_reading()" in receive


def test_a_message_is_decoded_nowhere_but_where_it_is_overridden() -> None:
    assert SOURCE.count(".decode()") == 1, "uvicorn decodes text elsewhere: invalid UTF-8 may close the call"
