"""What people say aloud, as it would be written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.text.en.inverse_normalization import as_written
from vivavoce.text.en.numbers import digits


@pytest.mark.parametrize(
    ("said", "is_written"),
    [
        ("it's number ten forty-two.", "it's number 1042."),
        ("Uh, one oh four eight, I think.", "Uh, 1048, I think."),
        ("Customer twenty thirty-one, postcode one four two oh five.", "Customer 2031, postcode 14205."),
        ("five five five, oh one double seven.", "5550177."),
        ("triple five one two", "55512"),
        ("one thousand and forty two", "1042"),
        ("two hundred thousand", "200000"),
        ("1, 0, 6, 3", "1063"),
        ("5-5-5-0-1-double-7", "5550177"),
        ("nineteen eighty four", "1984"),
    ],
)
def test_numbers_are_written_in_digits(said: str, is_written: str) -> None:
    assert as_written(said) == is_written


@pytest.mark.parametrize(
    "said",
    [
        "two of them, one is 1042",
        "Oh, one more thing",
        "half past four",
        "call me at ten thirty",
        "tomorrow nine thirty",
        "ten thirty a.m.",
        "twelve times seven",
        "double trouble",
    ],
)
def test_what_is_no_long_number_stays(said: str) -> None:
    assert as_written(said) == said


def test_two_numbers_stay_two() -> None:
    assert as_written("orders one oh four two, one oh four three") == "orders 1042, 1043"
    assert as_written("one oh four two and one oh four three") == "1042 and 1043"


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("ada at example dot org", "ada@example.org"),
        ("Bob dot Lee at example dot com", "bob.lee@example.com"),
        ("Ada at example.org", "ada@example.org"),
        ("ada underscore b at my dash shop dot net", "ada_b@my-shop.net"),
    ],
)
def test_mail_addresses_are_written_with_their_signs(said: str, address: str) -> None:
    assert as_written(f"It's {said}.") == f"It's {address}."


@given(st.text("0123456789", min_size=3, max_size=12))
def test_what_is_said_digit_by_digit_comes_back(number: str) -> None:
    assert as_written(digits(number)) == number
