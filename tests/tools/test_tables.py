"""The tables of tools in `vivavoce.toml`, and what is said of mistakes in them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vivavoce.config.loading import load
from vivavoce.config.tools import HttpToolTable
from vivavoce.errors import ConfigError

SHOP = """
[[tools.http]]
name = "order_status"
description = "Looks an order up."
url = "https://shop.example.org/orders/{order_id}"
parameters = { order_id = "The order." }
headers = { Authorization = "Bearer ${SHOP_TOKEN}" }
"""
LIBRARY = """
[[tools.mcp]]
label = "library"
command = ["wheelbarrow", "books.py"]
env = { LIBRARY_KEY = "${LIBRARY_KEY}" }
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "vivavoce.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_tables_are_read_in_their_order(tmp_path: Path) -> None:
    loaded = load(file=written(tmp_path, SHOP + SHOP.replace("order_status", "second") + LIBRARY))
    assert [one.name for one in loaded.config.tools.http] == ["order_status", "second"]
    assert loaded.config.tools.mcp[0].command == ("wheelbarrow", "books.py")
    assert loaded.config.tools.http[0].parameters_schema == {
        "type": "object",
        "properties": {"order_id": {"type": "string", "description": "The order."}},
        "required": ["order_id"],
    }


def test_an_argument_may_be_left_out_if_it_says_so_or_has_a_default() -> None:
    place = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    told = {
        "name": "x",
        "description": "X.",
        "url": "https://shop.example.org",
        "parameters": {
            "words": "What to look for.",
            "place": place,
            "limit": {"type": "integer", "default": 3},
            "note": {"type": "string", "required": False},
            "count": {"type": "integer", "default": 1, "required": True},
        },
    }
    takes = HttpToolTable.model_validate(told).parameters_schema
    assert takes["required"] == ["words", "place", "count"]
    assert takes["properties"] == {
        "words": {"type": "string", "description": "What to look for."},
        "place": place,
        "limit": {"type": "integer", "default": 3},
        "note": {"type": "string"},
        "count": {"type": "integer", "default": 1},
    }
    whole = {"type": "object", "properties": {"place": {"$ref": "#/$defs/Place"}}, "$defs": {"Place": place}}
    assert HttpToolTable.model_validate({**told, "parameters": whole}).parameters_schema == whole


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            SHOP.replace("{order_id}", "{id}"),
            "[tools] http: url names {id}, which is none",
        ),
        (SHOP.replace("https", "ftp"), "[tools.http] url: "),
        (
            SHOP.replace("Bearer ${SHOP_TOKEN}", "Bearer mellon"),
            "[tools.http] headers: Authorization is a",
        ),
        (
            SHOP + 'colour = "red"',
            "[tools.http] colour is not a setting; there are: confirm,",
        ),
        (SHOP + SHOP, "tools: there are two called order_status."),
        (LIBRARY + 'url = "https://a.example"', "[tools] mcp: a server has either a url or a command."),
        ("[tools]\ncolour = 1", "[tools] colour is not a setting; there are: http, mcp."),
    ],
)
def test_a_mistake_is_told_with_its_file_and_place(tmp_path: Path, text: str, sentence: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(file=file)
    assert str(caught.value).startswith(f"{file}: ")
    assert sentence in str(caught.value)
    assert "mellon" not in str(caught.value)


@pytest.mark.real_time
def test_check_says_what_the_tools_lack(tmp_path: Path) -> None:
    written(tmp_path, SHOP + LIBRARY)
    environment = {**os.environ, "LIBRARY_KEY": "mellon"}
    environment.pop("SHOP_TOKEN", None)
    line = [str(Path(sys.executable).parent / "viva"), "check", "--preset", "scripted"]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "SHOP_TOKEN=… in the environment or in .env" in done.stdout
    assert 'command = ["/path/to/wheelbarrow", …]' in done.stdout
    assert done.returncode == 1
    again = subprocess.run([*line, "--json"], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert json.loads(again.stdout)["complete"] is False
    assert b"mellon" not in again.stdout
