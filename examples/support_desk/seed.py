"""A small shop to begin with: the same customers, products and orders on every machine, dated from today."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from .shop import Customer, Line, Order, Product, Return, State

__all__ = ["seed"]

CUSTOMERS = """
2003 | Henry Walsh     | 02139 | 48 Pearl Street, Cambridge       | henry.walsh@example.com  | 6175550118
2008 | Priya Raman     | 60614 | 2210 Lincoln Avenue, Chicago     | priya.raman@example.com  | 3125550164
2012 | Tom Becker      | 97205 | 731 Alder Street, Portland       | tom.becker@example.net   | 5035550131
2017 | Grace Miller    | 90210 | 9 Canon Drive, Beverly Hills     | grace.miller@example.com | 3105550176
2020 | Yusuf Demir     | 11215 | 355 Seventh Avenue, Brooklyn     | yusuf.demir@example.org  | 7185550109
2024 | Maria Santos    | 78704 | 1502 Lamar Boulevard, Austin     | maria.santos@example.com | 5125550187
2028 | Oliver Grant    | 80302 | 16 Arapahoe Avenue, Boulder      | oliver.grant@example.net | 3035550122
2031 | Ada Novak       | 14205 | 80 Main Street, Buffalo          | ada.novak@example.com    | 7165550143
2035 | Chen Wei        | 94110 | 2467 Mission Street, San Francisco | chen.wei@example.com   | 4155550158
2039 | Lucy Fields     | 98101 | 5 Pike Place, Seattle            | lucy.fields@example.org  | 2065550195
2044 | Daniel Ortiz    | 33109 | 7 Fisher Island Drive, Miami Beach | daniel.ortiz@example.com | 3055550137
2050 | Hannah Lindqvist | 55401 | 212 Hennepin Avenue, Minneapolis | hannah.l@example.com    | 6125550101
"""

PRODUCTS = """
101 | Blue kettle         |  4490 | 14 | An electric kettle of 1.7 litres in blue enamel; boils in four minutes.
102 | Red kettle          |  4490 |  0 | An electric kettle of 1.7 litres in red enamel; more come next month.
103 | Coffee grinder      |  7900 |  6 | A grinder with steel burrs, for espresso and for French press.
104 | Espresso pot        |  2950 | 21 | An aluminium pot for the stove, which makes six small cups.
105 | Toaster             |  5200 |  9 | A toaster for two slices, with a rack for rolls.
106 | Desk lamp           |  3900 | 17 | A lamp with a jointed arm and a warm LED that can be dimmed.
107 | Floor lamp          |  8900 |  3 | A lamp of five feet with a linen shade.
108 | Wireless headphones | 12900 | 11 | They play thirty hours, and stand rain, but not swimming.
109 | Bluetooth speaker   |  6900 |  8 | A small speaker that is waterproof and plays twelve hours.
110 | Radio               |  5900 |  5 | A kitchen radio with a clock and a timer.
111 | Running shoes       |  8900 | 26 | Light shoes in sizes 5 to 13; they run half a size small.
112 | Hiking boots        | 14900 |  7 | Waterproof leather boots with a stiff sole.
113 | Rain jacket         |  9900 | 12 | A jacket with taped seams that packs into its own pocket.
114 | Backpack            |  7400 | 10 | A backpack of 25 litres with a sleeve for a laptop.
115 | Water bottle        |  1900 | 40 | A steel bottle that keeps a pint cold for a day.
116 | Wool blanket        |  6500 |  4 | A blanket of new wool, 50 by 70 inches.
117 | Bread knife         |  2800 | 15 | A knife with a ten-inch serrated blade.
118 | Cutting board       |  3200 | 13 | A board of oiled beech, 12 by 18 inches.
119 | Notebook            |  1200 | 60 | A notebook of 160 dotted pages that lies flat.
120 | Fountain pen        |  3600 |  0 | A pen with a steel nib; it is not made any more.
"""

ORDERS = """
1031 | 2031 | sent      | 12 |   | 1 Floor lamp
1032 | 2003 | delivered | 61 | 4 | 1 Desk lamp, 2 Notebook
1033 | 2008 | delivered | 52 | 3 | 1 Toaster
1034 | 2012 | cancelled | 47 |   | 1 Backpack
1035 | 2020 | delivered | 45 | 5 | 1 Hiking boots
1036 | 2024 | delivered | 40 | 4 | 1 Wool blanket, 1 Radio
1037 | 2035 | delivered | 33 | 6 | 1 Espresso pot
1038 | 2039 | delivered | 28 | 3 | 3 Notebook, 1 Fountain pen
1039 | 2044 | delivered | 26 | 4 | 1 Rain jacket
1040 | 2050 | delivered | 25 | 5 | 1 Bread knife, 1 Cutting board
1042 | 2017 | delivered |  9 | 4 | 1 Blue kettle, 1 Espresso pot
1043 | 2003 | delivered | 16 | 4 | 1 Water bottle
1045 | 2028 | delivered | 14 | 3 | 1 Bluetooth speaker
1046 | 2008 | cancelled | 13 |   | 2 Red kettle
1048 | 2017 | sent      |  3 |   | 1 Wireless headphones
1049 | 2024 | delivered | 11 | 5 | 1 Backpack, 1 Water bottle
1050 | 2012 | sent      |  4 |   | 1 Hiking boots
1052 | 2017 | paid      |  1 |   | 1 Wool blanket
1054 | 2035 | sent      |  3 |   | 1 Coffee grinder
1055 | 2031 | delivered | 38 | 4 | 1 Toaster
1057 | 2031 | delivered |  8 | 5 | 1 Running shoes
1058 | 2039 | sent      |  2 |   | 2 Espresso pot
1060 | 2044 | packed    |  2 |   | 1 Desk lamp
1061 | 2020 | packed    |  1 |   | 1 Radio, 1 Notebook
1063 | 2031 | sent      | 10 |   | 1 Wireless headphones
1064 | 2050 | paid      |  1 |   | 4 Notebook
1066 | 2017 | paid      |  0 |   | 1 Desk lamp, 2 Water bottle
1068 | 2028 | paid      |  0 |   | 1 Rain jacket
1069 | 2008 | paid      |  0 |   | 1 Running shoes, 1 Backpack
1071 | 2031 | packed    |  1 |   | 1 Coffee grinder
"""
"""number, customer, state, how many days ago it was ordered, after how many it was delivered, and what"""

RETURNS = """
1040 | 12 | The knife is blunt.
1045 |  5 | It does not turn on.
"""
"""order, how many days ago it was asked for, and why"""

DAYS_TO_DELIVER = 5


def seed(session: Session, today: date) -> None:
    """Fill the database, unless there are customers in it."""
    if session.scalar(select(Customer).limit(1)) is not None:
        return
    for number, name, postcode, address, email, phone in _rows(CUSTOMERS):
        fields = {"name": name, "postcode": postcode, "address": address, "email": email, "phone": phone}
        session.add(Customer(id=int(number), **fields))
    for number, name, cents, stock, about in _rows(PRODUCTS):
        session.add(Product(id=int(number), name=name, cents=int(cents), stock=int(stock), about=about))
    session.flush()
    products = {product.name: product for product in session.scalars(select(Product))}
    for row in _rows(ORDERS):
        session.add(_order(row, products, today))
    for number, days, reason in _rows(RETURNS):
        session.add(Return(order_id=int(number), asked_on=today - timedelta(days=int(days)), reason=reason))


def _order(row: Sequence[str], products: Mapping[str, Product], today: date) -> Order:
    number, customer, state, ago, took, bought = row
    ordered_on = today - timedelta(days=int(ago))
    return Order(
        id=int(number),
        customer_id=int(customer),
        state=State(state),
        ordered_on=ordered_on,
        expected_on=ordered_on + timedelta(days=DAYS_TO_DELIVER),
        delivered_on=ordered_on + timedelta(days=int(took)) if took else None,
        cancelled_on=ordered_on + timedelta(days=1) if state == State.CANCELLED else None,
        lines=[_line(part, products) for part in bought.split(", ")],
    )


def _line(bought: str, products: Mapping[str, Product]) -> Line:
    count, name = bought.split(" ", 1)
    return Line(product=products[name], count=int(count), cents=products[name].cents)


def _rows(table: str) -> Iterator[list[str]]:
    for row in table.strip().splitlines():
        yield [cell.strip() for cell in row.split("|")]
