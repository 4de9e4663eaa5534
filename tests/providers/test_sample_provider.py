"""The provider of the page on contributing, installed as a package of its own would be."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from samples.parrot import Parrot
from vivavoce.config.schema import Config
from vivavoce.errors import ConfigError
from vivavoce.protocol.items import InputText, Message
from vivavoce.providers import registry
from vivavoce.providers.base import ChatRequest, ChatUsage

PAGE = Path(__file__).parents[2] / "docs/contributing.md"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    metadata = tmp_path / "parrots-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: parrots\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[vivavoce.providers]\nchat.parrot = samples.parrot:PLUGIN\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry._installed.cache_clear()
    yield
    registry._installed.cache_clear()


async def no_weights(model: str) -> Mapping[str, Path]:
    raise AssertionError(f"{model} was asked for")


@pytest.mark.anyio
@pytest.mark.usefixtures("installed")
async def test_a_provider_of_another_package_is_found_configured_and_asked() -> None:
    config = Config.model_validate({"chat": {"provider": "parrot", "prefix": "So:"}})
    assert ("chat", "parrot") in registry.names()
    plugin = registry.find("chat", config.chat.provider)
    parrot = await plugin.open(registry.settings_for(plugin, {"prefix": "So:"}), no_weights)
    assert isinstance(parrot, Parrot)
    asked = ChatRequest([Message(role="user", content=(InputText(text="Land ahoy!"),))])
    pieces = [piece async for piece in parrot.reply(asked)]
    assert "".join(piece for piece in pieces if isinstance(piece, str)) == "So: Land ahoy! "
    assert isinstance(pieces[-1], ChatUsage)


@pytest.mark.usefixtures("installed")
def test_a_setting_that_it_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="prefix"):
        registry.settings_for(registry.find("chat", "parrot"), {"colour": "green"})


def test_the_page_on_contributing_shows_this_provider() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert "tests/samples/parrot.py:provider" in page
    assert '[project.entry-points."vivavoce.providers"]' in page
