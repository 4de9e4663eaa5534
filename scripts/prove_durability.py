"""Kills a server under load, again and again, and proves that what its clients saw acknowledged is stored.

    python scripts/prove_durability.py --kills 100 --callers 8

Each round starts `viva serve` with scripted models and lets callers write and be answered, as fast as it goes.
At a random moment the server is killed (SIGKILL). The next server stores what the killed one has left. In the
end, every item that a client was told of (`conversation.item.added`) must be stored, with the words of its
`conversation.item.done`. Prints what was found; the exit code is 1 if anything is missing.
"""

import argparse
import os
import random
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import anyio.to_thread
import httpx

from vivavoce.cli import main as viva
from vivavoce.connect import connect, endpoint_at
from vivavoce.errors import ProviderError
from vivavoce.protocol import events as e
from vivavoce.protocol.items import InputText, Message
from vivavoce.protocol.responses import ResponseParams
from vivavoce.session.line import HungUp, Line
from vivavoce.store.conversation_rows import spoken_words
from vivavoce.store.database import Database
from vivavoce.store.queries import find_conversation, list_conversations

RANDOM = random.SystemRandom()
STARTER = get_context("forkserver")
STARTER.set_forkserver_preload(
    ["vivavoce.cli", "vivavoce.runtime", "vivavoce.web.app", "vivavoce.store.recorder"]
)
LOAD_SECONDS = 0.2, 1.5
"""the shortest and longest time from the first item to the kill"""


@dataclass
class Seen:
    """What the clients were told: by item, its final words, or None until `conversation.item.done`."""

    items: dict[str, str | None] = field(default_factory=dict)


async def call(url: str, seen: Seen, first: anyio.Event) -> None:
    """Write to the server without end, and note what it acknowledges, until it is gone."""
    try:
        async with connect(endpoint_at(url)) as line:
            await _ask(line)
            async for event in line:
                match event:
                    case e.ConversationItemAdded(item=item):
                        seen.items.setdefault(str(item.id), None)
                        first.set()
                    case e.ConversationItemDone(item=Message() as item):
                        seen.items[str(item.id)] = spoken_words(item)
                    case e.ResponseDone():
                        await _ask(line)
                    case _:
                        pass
    except (HungUp, ProviderError):
        return


async def _ask(line: Line) -> None:
    words = InputText(text=f"What is {RANDOM.random()}?")
    await line.send(e.ConversationItemCreate(item=Message(role="user", content=(words,))))
    await line.send(e.ResponseCreate(response=ResponseParams(output_modalities=("text",))))


def serve(folder: str, port: int) -> None:
    """Run `viva serve`, in a process of its own."""
    settings = {"SERVER__DATA": folder, "LIMITS__RESPONSES_PER_MINUTE": "1000000"}
    settings |= {"LIMITS__TOKENS_PER_MINUTE": "1000000000"}
    os.environ |= {f"VIVAVOCE_{name}": value for name, value in settings.items()}
    log = os.open(f"{folder}/serve.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.argv = ["viva", "serve", "--preset", "scripted", "--port", str(port)]
    viva()


@asynccontextmanager
async def server(folder: Path) -> AsyncIterator[tuple[str, BaseProcess]]:
    """Yield the address and process of a server that is ready; it is killed when the block is left."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = STARTER.Process(target=serve, args=(str(folder), port))
    process.start()
    try:
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(trust_env=False) as client:
            while process.is_alive():
                with suppress(httpx.HTTPError):
                    if (await client.get(f"{url}/readyz")).status_code == httpx.codes.OK:
                        break
                await anyio.sleep(0.05)
        yield f"{url}/v1", process
    finally:
        process.kill()
        await anyio.to_thread.run_sync(process.join)


async def main(kills: int, callers: int, folder: Path) -> int:
    """Kill, store what was left, and compare. Returns the exit code."""
    seen = Seen()
    for number in range(1, kills + 1):
        async with server(folder) as (url, process), anyio.create_task_group() as tasks:
            first = anyio.Event()
            for _ in range(callers):
                tasks.start_soon(call, url, seen, first)
            await first.wait()
            await anyio.sleep(RANDOM.uniform(*LOAD_SECONDS))
            process.kill()
        if number % 10 == 0:
            print(f"{number} kills, {len(seen.items)} items acknowledged", flush=True)
    async with server(folder) as (_, process):
        await anyio.sleep(1)
        process.terminate()
        await anyio.to_thread.run_sync(process.join)
    return await compare(folder, seen, kills)


async def compare(folder: Path, seen: Seen, kills: int) -> int:
    """Print what is missing in the database of what was acknowledged; return 1 if anything is."""
    database = Database(f"sqlite:///{folder / 'conversations.db'}")
    stored: dict[str, str] = {}
    crashed, before = 0, None
    while page := await list_conversations(database, limit=1000, before=before):
        before = page[-1]["id"]
        for one in page:
            crashed += one["ended_by"] == "crash"
            found = await find_conversation(database, one["id"])
            stored |= {item["id"]: item["text"] or "" for item in found["items"]}
    problems = await database.problems()
    await database.close()
    missing = [name for name in seen.items if name not in stored]
    changed = [name for name, text in seen.items.items() if text and stored.get(name) != text]
    done = sum(text is not None for text in seen.items.values())
    print(f"{kills} kills: {len(seen.items)} items were acknowledged, {done} of them as done.")
    print(f"{len(missing)} are missing, {len(changed)} have other words; {crashed} conversations were cut off.")
    print(f"The database: {'; '.join(problems) or 'in order'}.")
    return 1 if missing or changed or problems or not seen.items else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--callers", type=int, default=8)
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        sys.exit(anyio.run(main, options.kills, options.callers, Path(name)))
