import errno
import socket
import ssl

import pytest

from vivavoce.errors import alternatives, connection_problem


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            caused(ValueError("All attempts failed"), ConnectionRefusedError(111, "x")),
            "nothing listens",
        ),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 9)"), "nothing listens there"),
        (socket.gaierror(-2, "Name or service not known"), "there is no host of this name"),
        (ssl.SSLError(1, "[SSL] record layer failure"), "it does not answer in TLS"),
        (TimeoutError(), "it does not answer"),
        (ConnectionResetError(104, "Connection reset by peer"), "it broke the connection off"),
        (OSError(errno.ENETUNREACH, "x"), "no network leads there"),
        (ExceptionGroup("several", [OSError(errno.EHOSTUNREACH, "x")]), "no network leads there"),
        (OSError(errno.EPERM, "Operation not permitted"), "Operation not permitted"),
        (ValueError(), "ValueError"),
    ],
)
def test_why_a_server_cannot_be_reached_is_said_in_plain_words(error: Exception, words: str) -> None:
    assert connection_problem(error).startswith(words)


def test_what_was_meant_is_found_in_spite_of_case_and_hyphens() -> None:
    assert alternatives("Semantic-VAD", ["none", "semantic_vad"]).startswith("did you mean 'semantic_vad'?")
    assert alternatives("x", ["b", "a"]) == "there are: a, b"
    assert alternatives("x", []) == "there are: none"
    assert alternatives("name3", [f"name{n}" for n in range(30)]) == "did you mean 'name3'? There are 30 in all"
