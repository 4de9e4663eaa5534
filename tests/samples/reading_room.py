# [start:first]
from datetime import date, timedelta
from typing import Literal

from vivavoce import Assistant, Card, Context, ToolError, tool

LENT = {"emma": date(2026, 12, 4)}


@tool
def find_book(title: str, shelf: Literal["novels", "maps"] = "novels") -> str:
    """Find a book: "do you have Emma?", "where is Moby Dick?".

    Args:
        title: Its title, without the author.
        shelf: Where to look.
    """
    back = LENT.get(title.lower())
    return f"It is back on {back:%d %B}." if back else f"It is among the {shelf}."


assistant = Assistant("You work in a library. Answer in one short sentence.", tools=[find_book])
# [end:first]


# [start:card]
@tool
def loans(context: Context) -> tuple[str, Card]:
    """Tell which books the caller has: "what have I borrowed?"."""
    books = context.state.setdefault("loans", ["Emma"])
    rows = "\n".join(f"| {title} | 4 December |" for title in books)
    return f"{len(books)} book, until 4 December", Card(
        "Your books", f"| book | until |\n| --- | --- |\n{rows}"
    )


# [end:card]


# [start:change]
@tool(confirm="Shall I keep {title} for you?", filler="One moment.", seconds=10, max_concurrency=4)
async def keep_book(title: str, days: int = 7) -> str:
    """Keep a book for the caller: "keep Emma for me"."""
    if days > 14:
        raise ToolError("No book is kept for longer than 14 days. Offer the caller 14.")
    LENT[title.lower()] = date(2026, 12, 4) + timedelta(days)
    return f"{title} is kept for {days} days."


# [end:change]
