"""What a Realtime server must never break, checked in everything that it said.

A *score* is what the two sides of a connection said: `[("client", {...}), ("server", {...}), ...]`. It may end
anywhere, for a client may hang up at any moment.
"""

from clients.rules.order import broken
from clients.rules.score import Direction, Score
from clients.rules.spelling import misspelt

__all__ = ["Direction", "Score", "check"]


def check(
    score: Score, *, beta: bool = False, errors: tuple[str, ...] | None = (), plays: bool = False
) -> None:
    """Raise `AssertionError` that names every event of the server's which breaks a rule.

    `errors` are the codes of the errors that the client provoked (`None`: any). `plays`: the server plays the
    sound itself (WebRTC), and truncates answers by itself.
    """
    complaints = [*misspelt(score, beta=beta), *broken(score, beta=beta, plays=plays)]
    if errors is not None:
        codes = [event["error"]["code"] for by, event in score if by == "server" and event["type"] == "error"]
        if sorted(map(str, codes)) != sorted(errors):
            complaints.append(f"errors {codes}, where {list(errors)} were provoked")
    assert not complaints, "\n".join(complaints)
