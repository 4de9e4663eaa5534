"""An assistant in a file of one's own: found, served, talked with, and what is wrong with it."""

import json
import subprocess
from pathlib import Path

import anyio
import httpx
import pytest
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection

from cli.test_viva import VIVA, viva
from clients.serving import running

pytestmark = pytest.mark.real_time
RECORDINGS = Path(__file__).parents[1] / "recordings"

DESK = '''
from vivavoce import Assistant, tool


@tool
def order_status(order_id: str) -> str:
    """Say where an order is."""
    return f"Order {order_id} is on its way."


assistant = Assistant("You are the desk.", name="desk", greeting="Good morning.", tools=[order_status])
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    (folder / "my_desk.py").write_text(DESK)
    (folder / "tools_of_mine.py").write_text("NAME = 'neighbour'\n")
    (folder / "beside.py").write_text(
        "from tools_of_mine import NAME\nfrom vivavoce import Assistant\nhelper = Assistant('', name=NAME)\n"
    )
    (folder / "shop").mkdir()
    (folder / "shop" / "clerk.py").write_text(
        "from vivavoce import Assistant\nclerk = Assistant('Sell.', name='clerk')\n"
    )
    (folder / "broken.py").write_text("import json\n\n\ndef read():\n    return json.loads('{')\n\n\nread()\n")
    (folder / "unreadable.py").write_text("def f(:\n")
    (folder / "untold.py").write_text("from vivavoce import Assistant\na = Assistant('Hm.', tools=[len])\n")
    (folder / "alone.py").write_text("import no_such_package\n")
    (folder / "lost.py").write_text("from vivavoce import Assistant\na = Assistant('Hm.', hand_over=['b'])\n")
    return folder


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("my_desk.py:assistant", "desk"),
        ("my_desk.py", "desk"),
        ("my_desk:assistant", "desk"),
        ("beside.py:helper", "neighbour"),
        ("shop.clerk:clerk", "clerk"),
        ("shop/clerk.py:clerk", "clerk"),
    ],
)
def test_an_assistant_is_found_in_a_file_or_a_module(folder: Path, place: str, name: str) -> None:
    done = viva(folder, "check", place, "--preset", "scripted")
    assert f"assistant    {name}\n" in done.stdout, done.stderr
    assert f"You talk with {name}: a script" in done.stdout


def test_check_tells_what_an_assistant_can_do_and_what_everyone_can(folder: Path) -> None:
    (folder / "tools.toml").write_text(
        "preset = 'scripted'\n[[tools.http]]\nname = 'weather'\ndescription = 'Tell the weather.'\n"
        "url = 'http://127.0.0.1:1/weather'\n[[tools.mcp]]\nlabel = 'books'\ncommand = ['books', '--all']\n"
    )
    done = viva(folder, "check", "my_desk.py", "--config", "tools.toml")
    assert (
        "\ntools        weather: Tell the weather.\n             books: MCP server, books --all\n"
        in done.stdout
    )
    assert "greeting = Good morning.\n             order_status: Say where an order is.\n" in done.stdout
    facts = json.loads(viva(folder, "check", "my_desk.py", "--config", "tools.toml", "--json").stdout)
    assert list(facts["tools"]) == ["weather", "books"]
    assert facts["assistants"][0]["tools"] == {"order_status": "Say where an order is."}


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("nowhere.py:assistant", ["nowhere.py", "no such file"]),
        ("no.such:assistant", ["no.such", "no such module"]),
        ("my_desk.py:desk", ["no such name", "there are: assistant"]),
        ("my_desk.py:order_status", ["no Assistant but PythonTool"]),
        ("broken.py:assistant", ["broken.py, line 5", "JSONDecodeError"]),
        ("unreadable.py:a", ["unreadable.py, line 1", "invalid syntax"]),
        ("untold.py:a", ["untold.py, line 2", "@tool"]),
        ("alone.py:a", ["alone.py, line 1", "no_such_package"]),
        ("lost.py:a", ["'b', who is not there"]),
    ],
)
@pytest.mark.parametrize("command", ["serve", "check"])
def test_what_is_wrong_with_it_is_one_sentence_that_names_the_line(
    folder: Path, command: str, place: str, words: list[str]
) -> None:
    done = viva(folder, command, place, "--preset", "scripted")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert [word for word in words if word not in done.stderr] == []


@pytest.mark.anyio
@pytest.mark.models
async def test_openais_own_client_is_greeted_and_has_an_order_looked_up(folder: Path) -> None:
    words: list[str] = []
    with running("my_desk.py:assistant", "--preset", "scripted", folder=folder) as url:
        async with httpx.AsyncClient(trust_env=False) as http:
            status = (await http.get(f"{url}/status")).json()
        assert (status["assistant"], status["description"][:20]) == ("desk", "You talk with desk: ")
        client = AsyncOpenAI(api_key="x", base_url=url)
        async with client.realtime.connect(model="any") as talk:
            pirate = {"type": "realtime", "output_modalities": ["text"], "instructions": "Say exactly: Ahoy."}
            await talk.session.update(session=pirate)  # type: ignore[arg-type]
            with anyio.fail_after(30):
                async for event in talk:
                    if event.type == "response.output_text.done":
                        words.append(event.text.strip())
                    if event.type == "response.done" and words == ["Good morning."]:
                        await ask(talk, "What is the order_status of order 4711?")
                    if len(words) == 2:
                        break
    assert words == ["Good morning.", "Order 4711 is on its way."]


async def ask(talk: AsyncRealtimeConnection, text: str) -> None:
    words = [{"type": "input_text", "text": text}]
    await talk.conversation.item.create(item={"type": "message", "role": "user", "content": words})  # type: ignore[arg-type]
    await talk.response.create()


@pytest.mark.models
def test_a_recorded_question_is_answered_by_what_a_tool_says(tmp_path: Path) -> None:
    (tmp_path / "my_desk.py").write_text(DESK)
    (tmp_path / "vivavoce.toml").write_text(
        "preset = 'scripted'\n[transcriber]\ntext = 'What is the order_status of order 4711?'\n"
    )
    recording = str(RECORDINGS / "brooklyn.wav")
    done = subprocess.run(
        [VIVA, "ask", recording, "my_desk.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Answer:  Order 4711 is on its way.\n" in done.stdout


def test_an_assistant_and_a_server_elsewhere_are_one_too_many(folder: Path) -> None:
    recording = str(RECORDINGS / "brooklyn.wav")
    done = viva(folder, "ask", recording, "my_desk.py", "--url", "ws://127.0.0.1:1/v1/realtime")
    assert done.returncode == 2
    assert "my_desk.py answers in this process" in done.stderr
