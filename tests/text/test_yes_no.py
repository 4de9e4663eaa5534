"""Yes and no in many languages; and all that is neither, which must never be taken for a yes."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vivavoce.text.yes_no import judge_answer, phrase_lists, plain_words

ASKED = "Shall I cancel order 4321?"

YES = {
    "en": ["Yes.", "yeah", "yes yes", "Yes, please.", "Sure, go ahead!", "OK", "Please do.", "Yes, I'm sure."],
    "hi": ["हाँ", "हां जी", "जी हाँ, कर दीजिए", "ठीक है", "haan ji", "theek hai, kar do"],
    "de": ["Ja.", "Ja, bitte!", "Jawohl", "ja natürlich", "Na klar, machen Sie das."],
    "fr": ["Oui.", "oui, bien sûr", "D'accord", "d’accord, allez-y", "Oui merci"],
    "es": ["Sí.", "si por favor", "Claro que sí", "Sí, gracias", "de acuerdo"],
    "it": ["Sì.", "Sì, certo", "va bene", "certo, proceda pure"],
    "pt": ["Sim.", "sim, por favor", "Claro", "Com certeza", "pode sim"],
    "nl": ["Ja.", "Ja graag", "Jazeker", "dat is goed, dank je"],
    "pl": ["Tak.", "tak, proszę", "Oczywiście", "zgadzam się"],
    "tr": ["Evet.", "Evet, lütfen", "tabii ki", "EVET"],
    "ru": ["Да.", "да, конечно", "Давайте", "согласна"],
    "ar": ["نعم", "نعم، من فضلك", "أكيد", "موافق", "أَجَلْ"],
    "ja": ["はい。", "はい、お願いします", "ええ", "いいですよ", "うん、お願い"],
    "zh": ["是的。", "好的", "好的，谢谢", "可以", "没问题，可以"],
    "ko": ["네.", "네, 그렇게 해 주세요", "예", "좋아요", "물론이죠"],
}
NO = {
    "en": [
        "No.",
        "no thanks",
        "don't",
        "Don’t do that!",
        "Of course not",
        "no, the other one",
        "What? No!",
        "stop",
    ],
    "hi": ["नहीं", "जी नहीं", "मत करो", "nahi", "नहीं, रहने दीजिए"],
    "de": ["Nein.", "Nein danke", "auf keinen Fall", "bitte nicht", "Das stimmt nicht."],
    "fr": ["Non.", "non merci", "surtout pas", "Je ne suis pas d'accord"],
    "es": ["No.", "no, gracias", "claro que no", "de ninguna manera"],
    "it": ["No.", "no grazie", "assolutamente no", "non farlo"],
    "pt": ["Não.", "não, obrigado", "de jeito nenhum", "nao"],
    "nl": ["Nee.", "nee, dank je", "liever niet", "doe maar niet"],
    "pl": ["Nie.", "nie, dziękuję", "w żadnym razie"],
    "tr": ["Hayır.", "hayır, istemiyorum", "olmaz", "HAYIR"],
    "ru": ["Нет.", "нет, спасибо", "не надо", "ни в коем случае"],
    "ar": ["لا", "لا شكرا", "كلا"],
    "ja": ["いいえ。", "いや、やめてください", "だめです", "しないでください"],
    "zh": ["不。", "不要", "不用了，谢谢", "别", "不好"],
    "ko": ["아니요.", "아뇨", "하지 마세요", "안 돼요"],
}
NEITHER = [
    *("", "…", "hm", "um", "uh-huh", "thanks", "please", "hello", "4321", "cancel it", "Yes?", "okay?"),
    *("I don't know", "I'm not sure", "maybe", "yes and no", "no, yes", "why not", "what?", "I'm fine", "wait"),
    *("yes, but not that one", "yes if it is free", "yes, cancel my flight instead?", "yes, order 1234"),
    *("Yes, and delete my account.", "I said yes to nothing", "yesterday", "okra", "the yes men"),
    *(
        "ja, aber nicht diese",
        "ich weiß nicht",
        "jein",
        "vielleicht",
        "oui mais",
        "je ne sais pas",
        "peut-être",
    ),
    *("sí, pero otro", "no sé qué, sí", "forse", "talvez", "misschien", "nie wiem, tak", "belki", "да нет"),
    *(
        "может быть",
        "شايد",
        "ربما",
        "いいです",
        "大丈夫です",
        "わかりません",
        "好不好",
        "好像",
        "等一下",
        "모르겠어요",
    ),
    *("शायद", "पता नहीं, हाँ"),
]


@pytest.mark.parametrize(("language", "text"), [(one, text) for one, texts in YES.items() for text in texts])
def test_a_yes_is_a_yes_in_any_language(language: str, text: str) -> None:
    assert judge_answer(text, question=ASKED) is True
    assert judge_answer(text, language, question=ASKED) is True


@pytest.mark.parametrize(("language", "text"), [(one, text) for one, texts in NO.items() for text in texts])
def test_a_no_is_a_no_in_any_language(language: str, text: str) -> None:
    assert judge_answer(text, question=ASKED) is False
    assert judge_answer(text, language, question=ASKED) is False


@pytest.mark.parametrize("text", NEITHER)
def test_what_is_no_clear_yes_is_none(text: str) -> None:
    assert judge_answer(text, question=ASKED) is not True


@pytest.mark.parametrize(
    "text", ["I don't know", "maybe", "", "what?", "uh-huh", "शायद", "わかりません", "我不知道"]
)
def test_doubt_is_no_no_either(text: str) -> None:
    assert judge_answer(text, question=ASKED) is None


def test_words_of_the_question_may_be_said_again() -> None:
    assert judge_answer("Yes, cancel order 4321.", question=ASKED) is True
    assert judge_answer("No problem, go ahead and cancel it", question=ASKED) is True
    assert judge_answer("Yes, cancel order 4321.") is None, "nobody has asked about that"
    assert judge_answer("네, 주문 취소해 주세요", question="주문을 취소할까요?") is True


def test_where_languages_disagree_the_one_that_is_known_decides() -> None:
    assert judge_answer("ne") is None, "`no` in German, `what` in Turkish"
    assert judge_answer("ne", "de-AT") is False
    assert judge_answer("ne", "tr") is None
    assert judge_answer("ja", "xx") is True, "of a language that nobody knows all count"


def test_accents_case_and_marks_make_no_difference() -> None:
    assert plain_words("  Sí, ¡CLARO!  ") == ["si", "claro"]
    assert plain_words("D’accord") == ["daccord"]
    assert plain_words("はい、ばか") == ["は", "い", "ば", "か"]
    assert plain_words("हाँ") == plain_words("हां")
    assert plain_words("أَجَلْ") == plain_words("اجل")


def test_no_phrase_is_empty_or_means_two_things_in_one_language() -> None:
    for language, phrases in phrase_lists().items():
        meant: dict[tuple[str, ...], str] = {}
        for phrase, meaning in phrases:
            assert phrase, f"an empty phrase in {language}"
            assert meant.setdefault(phrase, meaning) == meaning, f"{phrase} in {language}"


@given(st.text())
def test_any_text_can_be_judge_answer(text: str) -> None:
    assert judge_answer(text, question=text) in (True, False, None)


KNOWN = {word for phrases in phrase_lists().values() for phrase, _ in phrases for word in phrase}


@given(st.text(st.characters(categories=["Ll", "Lu", "Lo", "Nd"]), min_size=1), st.booleans())
def test_a_yes_beside_a_word_that_nobody_knows_is_none(word: str, first: bool) -> None:
    assume(plain_words(word) and not KNOWN & set(plain_words(word)))
    assert judge_answer(f"{word} yes" if first else f"yes {word}") is None
