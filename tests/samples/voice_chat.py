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
