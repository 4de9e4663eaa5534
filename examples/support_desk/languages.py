"""What the desk says in given words, in the languages for which somebody has written them down.

The model speaks many more: of a language that is not here it greets nobody by itself, and asks in English.
"""

from dataclasses import dataclass

__all__ = ["Phrases", "phrases"]


@dataclass(frozen=True)
class Phrases:
    """What is said before anybody asks, and before an order is cancelled."""

    greeting: str
    cancel: str


_KNOWN = {
    "en": Phrases("Hello, this is Northside Goods. What can I do for you?", "Shall I cancel order {order_id}?"),
    "hi": Phrases(
        "नमस्ते, नॉर्थसाइड गुड्स में आपका स्वागत है। मैं आपकी क्या मदद कर सकती हूँ?",
        "क्या मैं ऑर्डर {order_id} रद्द कर दूँ?",
    ),
    "de": Phrases(
        "Guten Tag, hier ist Northside Goods. Was kann ich für Sie tun?",
        "Soll ich Bestellung {order_id} stornieren?",
    ),
    "es": Phrases(
        "Hola, le atiende Northside Goods. ¿En qué puedo ayudarle?", "¿Cancelo el pedido {order_id}?"
    ),
    "fr": Phrases(
        "Bonjour, ici Northside Goods. Que puis-je faire pour vous ?",
        "Dois-je annuler la commande {order_id} ?",
    ),
}


def phrases(language: str) -> Phrases:
    """Return what is said in a language (ISO 639-1)."""
    return _KNOWN.get(language.partition("-")[0]) or Phrases("", _KNOWN["en"].cancel)
