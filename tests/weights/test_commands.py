import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vivavoce.cli.models import app
from vivavoce.errors import ConfigError
from vivavoce.weights.manifest import built_in_manifest


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIVAVOCE_CACHE", str(tmp_path))
    monkeypatch.setenv("VIVAVOCE_OFFLINE", "1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return tmp_path / "models"


def viva_models(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def test_list_shows_every_model_with_its_licence() -> None:
    said = viva_models("list").stdout
    for model in built_in_manifest().models:
        line = next(line for line in said.splitlines() if line.startswith(model.id))
        assert model.licence in line
        assert model.role in line
    assert "default (vad/silero-v6, " in said


def test_list_speaks_json_to_programs() -> None:
    models = json.loads(viva_models("list", "--json").stdout)
    assert [model["id"] for model in models] == [model.id for model in built_in_manifest().models]
    assert not models[0]["present"]
    assert models[0]["size"] == 2_327_524


def test_pull_offline_ends_with_one_sentence() -> None:
    error = viva_models("pull").exception
    assert isinstance(error, ConfigError)
    assert "vad/silero-v6" in str(error)


def test_verify_says_what_to_do_about_damage(empty_cache: Path) -> None:
    assert viva_models("verify").stdout == "There is nothing to verify.\n"
    model = empty_cache / "vad/silero-v6/silero_vad.onnx"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"not a model")
    result = viva_models("verify")
    assert result.exit_code == 1
    assert result.stdout == f"damaged  vad/silero-v6: {model}\n"
    assert result.stderr == "To repair: viva models pull vad/silero-v6\n"


def test_path_prints_where_the_files_are(tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(b"x")
    assert viva_models("path", str(own)).stdout == f"{own}\n"
    result = viva_models("path", "vad/silero-v6")
    assert result.exit_code == 1
    assert result.stderr == "vad/silero-v6 is not here; to fetch it: viva models pull vad/silero-v6\n"
