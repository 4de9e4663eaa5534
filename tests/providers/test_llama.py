"""The threads in which llama.cpp works."""

import subprocess
import sys

GIVEN_UP = """
import time
import anyio
from vivavoce.providers.qwen.llama import Llama

class Slow:
    def handle_chat_completions(self, request, callback):
        callback({"choices": [{"delta": {"content": "Hm"}}]})
        time.sleep(0.5)
        print("finished", callback({}), flush=True)

async def main():
    async with Llama(Slow()).stream([], {}, slot=0) as pieces:
        await anext(pieces)

anyio.run(main)
"""


def test_a_process_does_not_end_under_a_model_that_works() -> None:
    done = subprocess.run([sys.executable, "-c", GIVEN_UP], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "finished True\n"), done.stderr
