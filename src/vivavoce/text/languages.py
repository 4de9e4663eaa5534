"""What languages are called, by their codes in ISO 639-1: chat models know the names better."""

__all__ = ["language_name", "same_language"]

_NAMES = dict(
    pair.split(":")
    for pair in (
        "af:Afrikaans am:Amharic ar:Arabic as:Assamese az:Azerbaijani ba:Bashkir be:Belarusian bg:Bulgarian "
        "bn:Bengali bo:Tibetan br:Breton bs:Bosnian ca:Catalan cs:Czech cy:Welsh da:Danish de:German el:Greek "
        "en:English eo:Esperanto es:Spanish et:Estonian eu:Basque fa:Persian fi:Finnish fil:Filipino "
        "fr:French ga:Irish gl:Galician gu:Gujarati ha:Hausa haw:Hawaiian he:Hebrew hi:Hindi hr:Croatian "
        "hu:Hungarian hy:Armenian id:Indonesian ig:Igbo is:Icelandic it:Italian ja:Japanese jv:Javanese "
        "ka:Georgian kk:Kazakh km:Khmer kn:Kannada ko:Korean ku:Kurdish ky:Kyrgyz la:Latin lb:Luxembourgish "
        "ln:Lingala lo:Lao lt:Lithuanian lv:Latvian mg:Malagasy mi:Maori mk:Macedonian ml:Malayalam "
        "mn:Mongolian mr:Marathi ms:Malay mt:Maltese my:Burmese nb:Norwegian ne:Nepali nl:Dutch no:Norwegian "
        "nn:Norwegian oc:Occitan or:Odia pa:Punjabi pl:Polish ps:Pashto pt:Portuguese ro:Romanian ru:Russian "
        "sa:Sanskrit sd:Sindhi si:Sinhala sk:Slovak sl:Slovenian sn:Shona so:Somali sq:Albanian sr:Serbian "
        "st:Sotho su:Sundanese sv:Swedish sw:Swahili ta:Tamil te:Telugu tg:Tajik th:Thai tk:Turkmen tl:Tagalog "
        "tr:Turkish tt:Tatar ug:Uyghur uk:Ukrainian ur:Urdu uz:Uzbek vi:Vietnamese xh:Xhosa yi:Yiddish "
        "yo:Yoruba yue:Cantonese zh:Chinese zu:Zulu"
    ).split()
)


def language_name(code: str) -> str:
    """Return what a language is called in English, such as `Hindi`; of a code that is not known, the code."""
    return _NAMES.get(_base(code), f"the language {code!r}")


def same_language(one: str, other: str) -> bool:
    """Say whether two codes mean one language, wherever it is spoken: `pt` and `pt-BR`."""
    return _base(one) == _base(other)


def _base(code: str) -> str:
    return code.partition("-")[0].lower()
