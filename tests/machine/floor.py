"""A venue's edge for the machine: it counts what arrives, loses answers, executes in parts, and changes its mind."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from margin.venues.interface import NotSent, Order, Report, Told, Unknown

CODE = "floor"


@dataclass
class Floor:
    """`answers` come in order, then it takes everything. What it said waits in `told` until it is kept."""

    now: datetime
    answers: deque[str] = field(default_factory=deque)
    arrived: Counter[str] = field(default_factory=Counter)
    orders: dict[str, Order] = field(default_factory=dict)
    executed: dict[str, dict[str, Decimal]] = field(default_factory=dict)
    """Order → execution → the quantity that stands; a busted one has none."""
    over: set[str] = field(default_factory=set)
    said: list[Report] = field(default_factory=list)
    told: list[Report] = field(default_factory=list)
    code: str = CODE

    def clear(self) -> None:
        for kept in (self.answers, self.arrived, self.orders, self.executed, self.over, self.said, self.told):
            kept.clear()

    # --- what the house asks ------------------------------------------------------------------------------------

    def send(self, order: Order) -> None:
        answer = self.answers.popleft() if self.answers else "taken"
        if answer == "not sent":
            raise NotSent("the line is down")
        if answer != "lost before it arrived":
            self.arrived[order.client_order_id] += 1
            self.orders[order.client_order_id] = order
            self.executed.setdefault(order.client_order_id, {})
        if answer != "taken":
            raise Unknown("no answer")
        self.say(order.client_order_id, Told.ACCEPTED)

    def cancel(self, order: Order) -> None:
        name = order.client_order_id
        if name not in self.orders or name in self.over:
            self.say(name, Told.CANCEL_REFUSED)
        else:
            self.over.add(name)
            self.say(name, Told.CANCELLED)

    def ask(self, order: Order) -> None:
        is_here = order.client_order_id in self.orders
        self.told += [report for report in self.said if report.client_order_id == order.client_order_id]
        self.say(order.client_order_id, Told.ACCEPTED if is_here else Told.NEVER_HEARD)

    def reports(self) -> Iterator[Report]:
        return iter(list(self.told))

    def keep(self, reports: Iterable[Report]) -> None:
        kept = {report.report_id for report in reports}
        self.told = [report for report in self.told if report.report_id not in kept]

    # --- what happens on it -------------------------------------------------------------------------------------

    def open_orders(self) -> list[str]:
        return [name for name in self.orders if name not in self.over]

    def left(self, name: str) -> Decimal:
        return self.orders[name].quantity - sum(self.executed[name].values(), Decimal(0))

    def execute(self, name: str, quantity: Decimal, price: Decimal, *, times: int = 1) -> None:
        """Part of an order is executed, and that is said `times` over."""
        made = self.say(name, Told.FILLED, quantity=quantity, price=price)
        self.told += [made] * (times - 1)
        self.executed[name][made.report_id] = quantity
        if not self.left(name):
            self.over.add(name)

    def change(self, name: str, execution: str, quantity: Decimal, price: Decimal) -> None:
        """An execution never was, or was of another quantity."""
        told = Told.CORRECTED if quantity else Told.BUSTED
        self.say(name, told, quantity=quantity, price=price, refers_to=execution)
        self.executed[name][execution] = quantity

    def say(self, name: str, told: Told, *, quantity: Decimal = Decimal(0), price: Decimal = Decimal(0),
            refers_to: str = "") -> Report:  # fmt: skip
        number = len(self.said)
        made = Report(CODE, f"F{number}", name, told, self.now, quantity, price, Decimal(0), refers_to)
        self.said.append(made)
        self.told.append(made)
        return made
