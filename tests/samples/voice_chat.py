# [start:ask]
from pathlib import Path
from urllib.parse import unquote

import httpx


def ask(recordings: list[Path], url: str = "http://127.0.0.1:8765") -> None:
    """Ask recorded questions, one after the other, and write each answer beside its question."""
    with httpx.Client(base_url=url, timeout=60) as client:  # it keeps the cookie of the conversation
        for recording in recordings:
            files = {"audio": recording.read_bytes()}
            with client.stream("POST", "/voice-chat/", files=files) as response:
                if response.is_error:
                    response.read()
                    raise SystemExit(response.json()["error"]["message"])
                print("You:", unquote(response.headers["X-Transcript"]))
                with recording.with_suffix(".answer.mp3").open("wb") as answer:
                    for part in response.iter_bytes():  # while it is made
                        answer.write(part)


# [end:ask]


# [start:converse]
import json  # noqa: E402

from websockets.sync.client import connect  # noqa: E402


def converse(recordings: list[Path], url: str = "ws://127.0.0.1:8765") -> None:
    """Ask recorded questions on one connection, and print the words while they come."""
    with connect(f"{url}/ws/audio/?progress=1") as socket:
        for recording in recordings:
            socket.send(recording.read_bytes())
            for message in socket:
                if isinstance(message, bytes):
                    recording.with_suffix(".answer.mp3").write_bytes(message)
                    continue
                told = json.loads(message)
                if told["type"] == "error":
                    raise SystemExit(told["error"]["message"])
                if told["type"] == "done":
                    print("You:", told["transcript"], "Answer:", told["answer"])
                    break


# [end:converse]
