"""The desk in other languages than English."""

from collections.abc import Callable

import pytest

from support_desk.languages import phrases
from vivavoce import Assistant
from vivavoce.assistants.team import system_prompt


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Assistant]:
    """Return what makes the desk, which opens its books as soon as it is imported."""
    books = tmp_path_factory.mktemp("books") / "desk.sqlite3"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("DESK_DATABASE", f"sqlite:///{books}")
        from support_desk.desk import desk
    return desk


def question(assistant: Assistant) -> str:
    (confirm,) = [tool.confirm for tool in assistant.tools if tool.confirm]
    return confirm.format(order_id="1066")


def test_it_speaks_hindi(desk: Callable[[str], Assistant]) -> None:
    assistant = desk("hi")
    assert system_prompt(assistant).endswith("Answer in Hindi.")
    assert "times are in digits" in assistant.instructions
    assert assistant.greeting.startswith("नमस्ते")
    assert question(assistant) == "क्या मैं ऑर्डर 1066 रद्द कर दूँ?"


def test_it_speaks_languages_for_which_nobody_wrote_phrases(desk: Callable[[str], Assistant]) -> None:
    assistant = desk("sw")
    assert system_prompt(assistant).endswith("Answer in Swahili.")
    assert assistant.greeting == ""
    assert question(assistant) == "Shall I cancel order 1066?"


@pytest.mark.parametrize("language", ["en", "hi", "de", "es", "fr", "pt-BR"])
def test_every_question_names_the_order(language: str) -> None:
    assert "{order_id}" in phrases(language).cancel
