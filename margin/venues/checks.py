"""What must be true of an order before any byte of it leaves: a strange character could forge a field."""

import re
from decimal import Decimal

from margin.venues.interface import NotSent, Order

CLIENT_ORDER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/+^&#=-]{0,63}")  # as market.strict.code reads codes
CURRENCY = re.compile(r"[A-Z][A-Z0-9]{2,7}")


def refuse_odd(order: Order) -> None:
    """Raise NotSent if the order cannot be written faithfully in every format."""
    if not CLIENT_ORDER_ID.fullmatch(order.client_order_id):
        raise NotSent(f"{order.client_order_id!r} is no client order id: use up to 32 letters, digits, _ and -")
    for name, value, form in (
        ("account", order.account, PLAIN),
        ("instrument", order.instrument, PLAIN),
        ("currency", order.currency, CURRENCY),
    ):
        if not form.fullmatch(value):
            raise NotSent(f"order {order.client_order_id}: {name} {value!r} holds characters that no venue reads")
    if not _is_positive(order.quantity):
        raise NotSent(f"order {order.client_order_id}: the quantity {order.quantity} is not positive")
    if order.limit is not None and not order.limit.is_finite():
        raise NotSent(f"order {order.client_order_id}: the limit {order.limit} is not a number")


def _is_positive(value: Decimal) -> bool:
    return value.is_finite() and value > 0


def plain(value: Decimal) -> str:
    """Every digit that counts and no exponent: Decimal("1E+2") is "100", Decimal("0.50") is "0.5"."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
