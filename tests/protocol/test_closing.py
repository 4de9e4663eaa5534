"""How an item and a response end that will not be completed."""

from vivavoce.protocol.items import FunctionCall, McpApprovalResponse, Message, incomplete
from vivavoce.protocol.responses import Response, connection_lost


def test_only_what_was_in_progress_ends_incomplete() -> None:
    call = FunctionCall(name="look", arguments="{", call_id="c", status="in_progress")
    assert incomplete(call).status == "incomplete"
    done = Message(role="assistant", content=(), status="completed")
    assert incomplete(done) is done
    approval = McpApprovalResponse(id="a", approval_request_id="r", approve=True)
    assert incomplete(approval) is approval


def test_a_response_whose_server_is_lost_has_failed() -> None:
    lost = connection_lost(
        Response(id="r", status="in_progress", output=(), conversation_id=None), "The server is gone."
    )
    assert lost.status == "failed"
    error = lost.status_details.error
    assert (error.type, error.code, error.message) == ("server_error", "connection_lost", "The server is gone.")
