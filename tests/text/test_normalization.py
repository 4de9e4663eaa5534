import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vivavoce.text.en.numbers import amount, cardinal, decimal, fraction, ordinal, year
from vivavoce.text.normalization import speakable

MARKUP = [
    ("**Bold** and _it_ and `code`.", "Bold and it and code."),
    ("***very*** ~~gone~~ __under__ snake_case", "very gone under snake case"),
    ("# Title\n\n- one thing\n- another\n* last", "Title. one thing. another. last"),
    ("1. Boil water.\n2. Add tea.", "one. Boil water. two. Add tea."),
    ("See [the page](https://example.com/a_(b)) now.", "See the page now."),
    ('![a cat](cat.png "Cat") sleeps', "a cat sleeps"),
    ("```python\nprint(x)\n```\nDone.", "print(x). Done."),
    ("> quoted\n---\nafter", "quoted. after"),
    ("| a | b |\n|---|---|\n| c | d |", "a b. c d"),
    ("a<br/>b <b>bold</b>", "a b bold"),
    ("Hi 👍🏽 there 👩‍👩‍👧 ❤️!", "Hi there!"),
    ("#fun is number #1", "hashtag fun is number number one"),
    ("x[0] {y} a|b \\n", "x zero y a b n"),
]
NUMBERS = [
    (
        "0, 7, 13, 42, 100, 101, 999, 1000",
        "zero, seven, thirteen, forty-two, one hundred, one hundred one, "
        "nine hundred ninety-nine, one thousand",
    ),
    ("1,249 and 1,000,000", "one thousand two hundred forty-nine and one million"),
    ("3.14, .5 and 0.05", "three point one four, zero point five and zero point zero five"),
    ("10000 people, 25000 more", "ten thousand people, twenty-five thousand more"),
    ("007", "zero zero seven"),
    (
        "1st 2nd 3rd 5th 12th 20th 21st 100th",
        "first second third fifth twelfth twentieth twenty-first one hundredth",
    ),
    (
        "1/2, 3/4, 1 1/2, 2 2/3, 5/37, 3/2",
        "one half, three quarters, one and a half, two and two thirds, five over thirty-seven, three halves",
    ),
    ("½ cup, 1½ cups, m² and 2³", "one half cup, one and a half cups, m squared and two cubed"),
    ("3-5 days, 10–20 pages", "three to five days, ten to twenty pages"),
    ("-5 and −7, 10 - 5", "minus five and minus seven, ten minus five"),
    ("5 < 6, a > b, 1<2", "five less than six, a greater than b, one less than two"),
    (
        "2 + 2 = 4, 3 * 4, 3×4, 8 ÷ 2, 2^8",
        "two plus two equals four, three times four, three times four,"
        " eight divided by two, two to the power of eight",
    ),
    ("50%, 3.5 %", "fifty percent, three point five percent"),
    ("a 1920x1080 screen", "a nineteen twenty by one thousand eighty screen"),
    ("10k and 4K", "ten thousand and four K"),
    ("No. 5, no. 4572, Nos. 12", "number five, number four five seven two, number twelve"),
    ("B2B, H2O, GPT-4, COVID-19, 5G", "B two B, H two O, GPT four, COVID nineteen, five G"),
    ("221B, 105A, 200C", "two twenty-one B, one oh five A, two hundred C"),
    (
        "v1.2, version 2.0.1, Version 3.0.0, 192.168.0.1",
        "version one point two, version two point zero point"
        " one, Version three point zero point zero, one nine two dot one six eight dot zero dot one",
    ),
    ("٣ and １２ and ①", "three and twelve and one"),
    ("24/7", "twenty-four seven"),
    ("16:9", "sixteen to nine"),
]
CODES = [
    ("Call 555-0134.", "Call five five five, zero one three four."),
    ("(415) 555-0134", "four one five, five five five, zero one three four"),
    ("+1 415-555-0134", "plus one, four one five, five five five, zero one three four"),
    ("+49 30 1234567", "plus four nine, three zero, one two three four five six seven"),
    ("code 4719, PIN: 0042, room 302",
     "code four seven one nine, PIN: zero zero four two, room three zero two"),
    ("order number 4572", "order number four five seven two"),
    ("80532", "eight zero five three two"),
    ("12345678901234567890", "one two three four five six seven eight nine zero one two three four five six"
     " seven eight nine zero"),
    ("078-05-1120", "zero seven eight, zero five, one one two zero"),
    ("4111 1111 1111 1111", "four one one one, one one one one, one one one one, one one one one"),
]  # fmt: skip
MONEY = [
    ("$1,249.50", "one thousand two hundred forty-nine dollars and fifty cents"),
    ("$1, $1.00, $0.99, $0.01, $0", "one dollar, one dollar, ninety-nine cents, one cent, zero dollars"),
    ("€5, 5 €, 20 EUR, £3.20, £0.01", "five euros, five euros, twenty euros, three pounds and twenty pence,"
     " one penny"),
    ("¥1 and ¥1000", "one yen and one thousand yen"),
    ("$3.5 million, $10k, $2bn", "three point five million dollars, ten thousand dollars, two billion dollars"),
    ("$5-$10, $5/month", "five dollars to ten dollars, five dollars per month"),
    ("$1.234", "one point two three four dollars"),
    ("$ and €", "dollars and euros"),
]  # fmt: skip
TIMES = [
    ("2025-10-12", "October twelfth, twenty twenty-five"),
    ("10/12/2025, 25/12/2024, 3/4/05", "October twelfth, twenty twenty-five, December twenty-fifth,"
     " twenty twenty-four, March fourth, two thousand five"),
    ("99/99/2025", "ninety-nine ninety-nine two thousand twenty-five"),
    ("May 24, 1883 and Oct. 3rd", "May twenty-fourth, eighteen eighty-three and October third"),
    ("12 October 2025, the 3rd of March", "twelfth of October, twenty twenty-five, the third of March"),
    ("In 1905, in 1900, since 1812, (1066)", "In nineteen oh five, in nineteen hundred, since eighteen twelve,"
     " (one thousand sixty-six)"),
    ("March 2024", "March twenty twenty-four"),
    ("2000, 2007, 2010, 1999", "two thousand, two thousand seven, twenty ten, nineteen ninety-nine"),
    ("1914-1918", "nineteen fourteen to nineteen eighteen"),
    ("the 1990s, the '90s", "the nineteen nineties, the nineties"),
    ("the 1900s", "the nineteen hundreds"),
    ("9:45 AM, 9:45am, 9:05 p.m. today", "nine forty-five AM, nine forty-five AM, nine oh five PM today"),
    ("9:00, 14:30, 00:15, 24:00", "nine o'clock, two thirty PM, twelve fifteen AM, twelve AM"),
    ("We close at 9 p.m. Then we go at 8 p.m.", "We close at nine PM. Then we go at eight PM."),
    ("1:02:03", "one oh two and three seconds"),
    ("10:30-11:45", "ten thirty to eleven forty-five"),
]  # fmt: skip
UNITS = [
    ("5 km, 5km, 1 km, 3 kg, 6ft",
     "five kilometers, five kilometers, one kilometer, three kilograms, six feet"),
    ("60 mph, 60 km/h, 2.4 GHz", "sixty miles per hour, sixty kilometers per hour, two point four gigahertz"),
    ("72°F, 1 °C, 20°, -5°C", "seventy-two degrees Fahrenheit, one degree Celsius, twenty degrees,"
     " minus five degrees Celsius"),
    ("a 7 min. walk", "a seven minutes walk"),
    ("5 mg/day", "five milligrams per day"),
]  # fmt: skip
WORDS = [
    ("Dr. Smith, Mr. Hale, Mrs. Hale, Prof. Li", "Doctor Smith, Mister Hale, Missus Hale, Professor Li"),
    ("Visit St. Paul, not Baker St., please", "Visit Saint Paul, not Baker Street, please"),
    ("e.g. this, i.e. that, A.K.A. him", "for example, this, that is, that, also known as him"),
    ("Cats, dogs, etc. We left.", "Cats, dogs, et cetera. We left."),
    ("cats, etc. and dogs vs. birds", "cats, et cetera and dogs versus birds"),
    ("approx. ten", "approximately ten"),
    ("w/ milk, w/o sugar", "with milk, without sugar"),
    ("R&D, A & B, and/or, he/she", "R and D, A and B, and or, he or she"),
    ("NYC and the API", "NYC and the API"),
    ("C++ @ home, ~5", "C plus plus at home, about five"),
    ("Stay. Drive. Mister. It's, isn't it?", "Stay. Drive. Mister. It's, isn't it?"),
]
ADDRESSES = [
    ("a.b@example.com", "a dot b at example dot com"),
    ("Write to jo_x-y@mail.example.org.", "Write to jo underscore x dash y at mail dot example dot org."),
    ("https://www.example.com/help?x=a.", "example dot com slash help question mark x equals a."),
    ("www.example.com/, and docs.python.org!", "example dot com, and docs dot python dot org!"),
]


@pytest.mark.parametrize(
    ("written", "said"), [*MARKUP, *NUMBERS, *CODES, *MONEY, *TIMES, *UNITS, *WORDS, *ADDRESSES]
)
def test_it_is_said_as_people_say_it(written: str, said: str) -> None:
    assert speakable(written) == said


@pytest.mark.parametrize("nothing", ["", " \n", "...", "-", "👍", "**", "<-"])
def test_what_has_no_word_is_not_said(nothing: str) -> None:
    assert speakable(nothing) == ""


def test_other_languages_only_lose_their_markup() -> None:
    assert (
        speakable("**Hallo** am 3.10. um 14:30 🎉 für 5 €", language="de") == "Hallo am 3.10. um 14:30 für 5 €"
    )


@pytest.mark.parametrize(
    "unit", ["1", "1/", "9.", "$1", "1,", " ", "a-", "a.", "[a](", "<a ", "- ", "1:", "+1 "]
)
def test_a_long_text_of_nonsense_is_said_or_not_but_soon(unit: str) -> None:
    said = speakable(unit * (9_000 // len(unit)))
    assert not any(char.isdigit() for char in said)


TEXTS = st.text() | st.text(
    st.sampled_from("0123456789aAbmkxs .,:;!?-/'\"()$€£%°#*_`~[]<>|&@+=^×–\n½²e.g.") | st.characters()
)
PIECES = st.lists(
    st.sampled_from([written for table in (MARKUP, NUMBERS, CODES, MONEY, TIMES, UNITS, WORDS, ADDRESSES)
                     for written, _ in table]), max_size=3).map(" ".join)  # fmt: skip


@given(TEXTS | PIECES)
@example("- ( *")
def test_nothing_is_left_that_cannot_be_said(text: str) -> None:
    said = speakable(text)
    assert not set(said) & set("*_#`[]<>")
    assert not any(unicodedata.category(char)[0] == "N" for char in said)


@given(PIECES)
def test_what_is_speakable_stays_as_it_is(text: str) -> None:
    assert speakable(speakable(text)) == speakable(text)


@given(TEXTS)
def test_no_markup_is_left_in_any_language(text: str) -> None:
    said = speakable(text, language="fr")
    assert not set(said) & set("*_#`[]<>")


MARKS = st.sampled_from(
    ["{}", "**{}**", "*{}*", "_{}_", "`{}`", "[{}](https://x.org)", "\n# {}\n", "\n- {}\n", "\n> {}\n"]
)
PLAIN = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=8)


@given(st.lists(st.tuples(MARKS, PLAIN), max_size=8))
def test_no_plain_word_is_lost(words: list[tuple[str, str]]) -> None:
    text = " ".join(mark.format(word) for mark, word in words)
    assert speakable(text).replace(".", "").split() == [word for _, word in words]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (cardinal(10**18), "one" + " zero" * 18),
        (cardinal(2_000_017), "two million seventeen"),
        (ordinal(1_000), "one thousandth"),
        (decimal("007.50"), "zero zero seven point five zero"),
        (year(1900), "nineteen hundred"),
        (fraction(2, 3), "two thirds"),
        (amount("2.5", "dollar", "dollars", "cent", "cents"), "two point five dollars"),
    ],
)
def test_numbers_are_said_in_words(said: str, expected: str) -> None:
    assert said == expected
