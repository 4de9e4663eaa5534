# [start:converse]
import json
from pathlib import Path

from websockets.sync.client import connect


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
