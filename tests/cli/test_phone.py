"""`viva phone`: which key it shows to whom."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from vivavoce.cli.phone import _new_code
from vivavoce.config.schema import Config
from vivavoce.errors import ProviderError

pytestmark = [pytest.mark.anyio, pytest.mark.real_time]


@contextmanager
def stranger(shown: list[str | None]) -> Iterator[str]:
    """Yield the URL of a server that is not ours, and notes the keys that it is shown."""

    class Noting(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            shown.append(self.headers["authorization"])
            self.send_response(401)
            self.end_headers()
            self.wfile.write(b'{"error": {"message": "A key is needed."}}')

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Noting) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def test_the_keys_of_our_own_server_are_not_shown_to_another() -> None:
    config, shown = Config.model_validate({"keys": "sesame"}), list[str | None]()
    with stranger(shown) as url:
        for key in (None, "theirs"):
            with pytest.raises(ProviderError, match=r"A key is needed\."):
                await _new_code(config, url, key)
    assert config.secrets == ("sesame",)
    assert shown == [None, "Bearer theirs"]
