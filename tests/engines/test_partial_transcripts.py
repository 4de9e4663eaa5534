"""What may be told of an utterance before it is over."""

from hypothesis import given
from hypothesis import strategies as st

from vivavoce.engines.cascade.transcripts import StablePrefix

words = st.lists(st.sampled_from(["a", "to", "be", "or", "not", "b", "be,"]), max_size=8)
transcripts = st.lists(words.map(" ".join), max_size=8)


def told(heard: list[str]) -> list[str]:
    prefix = StablePrefix()
    return [prefix.update(transcript) for transcript in heard]


def test_nothing_is_certain_after_one_transcript() -> None:
    assert told(["my fellow Americans"]) == [""]


def test_what_two_transcripts_agree_about_is_told_but_the_newest_word() -> None:
    assert told(["And so my fellow", "And so my fellow Americans", "And so my fellow Americans ask not"]) == [
        "",
        "And so my fellow",
        " Americans",
    ]
    assert told(["And so my.", "And so my."]) == ["", "And so"]


def test_the_rest_comes_at_the_end() -> None:
    prefix = StablePrefix()
    prefix.update("ask not what")
    prefix.update("ask not what your country")
    assert prefix.finish("ask not what your country can do.") == " your country can do."


def test_an_utterance_of_which_nothing_was_told_is_told_whole() -> None:
    assert StablePrefix().finish("Yes.") == "Yes."


def test_what_turns_out_otherwise_has_no_rest() -> None:
    prefix = StablePrefix()
    prefix.update("I scream for")
    prefix.update("I scream for you")
    assert prefix.finish("Ice cream for you.") == ""


def test_nothing_is_told_after_the_end() -> None:
    prefix = StablePrefix()
    prefix.update("ask not")
    prefix.finish("ask not")
    assert prefix.update("ask not what") == ""


@given(transcripts)
def test_nothing_is_taken_back_and_words_are_whole(heard: list[str]) -> None:
    prefix, so_far = StablePrefix(), ""
    for transcript in heard:
        delta = prefix.update(transcript)
        assert not delta or not so_far or delta.startswith(" "), "a word is not continued"
        assert delta == delta.rstrip(), "a word is not left open"
        so_far += delta
        assert prefix.text == so_far
        if delta:
            assert f"{transcript} ".startswith(f"{so_far} "), "what is told was just heard"
            assert transcript.split() != so_far.split(), "the newest word is not told"


@given(transcripts, words.map(" ".join))
def test_the_deltas_make_the_whole_wherever_they_began_it(heard: list[str], whole: str) -> None:
    prefix = StablePrefix()
    so_far = "".join(prefix.update(transcript) for transcript in heard)
    rest = prefix.finish(whole)
    if whole.startswith(so_far):
        assert so_far + rest == whole
    else:
        assert rest == ""


@given(st.lists(st.sampled_from(["well", "I", "would", "like", "tea"]), max_size=12), st.data())
def test_a_transcriber_that_only_ever_adds_is_told_to_the_last_word(
    said: list[str], data: st.DataObject
) -> None:
    ends = sorted(data.draw(st.lists(st.integers(0, len(said)), max_size=6)))
    prefix = StablePrefix()
    deltas = [prefix.update(" ".join(said[:end])) for end in ends]
    assert "".join(deltas) + prefix.finish(" ".join(said)) == " ".join(said)
    if len(ends) > 1:
        sure = min(ends[-2], ends[-1] - 1) if ends[-1] else 0
        assert len("".join(deltas).split()) >= sure
