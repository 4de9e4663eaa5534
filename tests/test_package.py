"""What a newcomer meets first: `import vivavoce`."""

import subprocess
import sys

import pytest

import vivavoce


def test_every_public_name_is_there() -> None:
    assert [name for name in vivavoce.__all__ if getattr(vivavoce, name) is None] == []
    assert vivavoce.__version__


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'RealtimeServer'"):
        _ = vivavoce.RealtimeServer  # type: ignore[attr-defined]


def test_it_comes_at_once_and_fetches_only_what_is_asked_for() -> None:
    heavy = "anyio, httpx, msgspec, starlette, websockets"
    told = f"import sys, vivavoce; print(sys.modules.keys() & set({heavy.split(', ')!r}))"
    ran = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
