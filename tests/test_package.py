"""What a newcomer meets first: `import vivavoce`."""

import vivavoce


def test_every_public_name_is_there() -> None:
    assert [name for name in vivavoce.__all__ if not hasattr(vivavoce, name)] == []
    assert vivavoce.__version__
