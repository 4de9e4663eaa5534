"""What a newcomer meets first: `import vivavoce`."""

import subprocess
import sys

import vivavoce

HEAVY = ("numpy", "onnxruntime", "xllamacpp", "av", "openai", "starlette", "rich", "httpx", "pydantic")


def test_every_public_name_is_there() -> None:
    assert [name for name in vivavoce.__all__ if not hasattr(vivavoce, name)] == []
    assert vivavoce.__version__


def test_importing_it_loads_nothing_heavy() -> None:
    probe = f"import sys, vivavoce; print([name for name in {HEAVY!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
