"""May this order or this withdrawal go ahead? A question that other systems ask before they act; nothing is written.

    rights.check(account, action=Order("AIG", Decimal(100)), at=at)

Restrictions in force decide about orders. A withdrawal also needs a priced account (law 3), no open call, and an excess
in every regime that outlasts it, counting SMA where it is kept and money that must stay.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

from accounts import cash, fills, holdings
from accounts.models import Account, Fill, Position
from margin import deposits, policies, restrictions
from margin.engine.exact import plain
from margin.models import MarginCall, Restriction, SmaEntry
from margin.restriction_terms import Effect
from market import strict
from market.figures import separated
from market.models import Instrument, Kind

ZERO = Decimal(0)


@dataclass(frozen=True)
class Order:
    """A purchase or, negative, a sale; `price` as quoted, None: at the market."""

    instrument: str
    quantity: Decimal
    price: Decimal | None = None


@dataclass(frozen=True)
class Withdrawal:
    """Money that is to leave, a positive amount."""

    currency: str
    amount: Decimal


Action = Order | Withdrawal


@dataclass(frozen=True)
class Answer:
    """Whether it may go ahead; if not, every reason. `may_leave` is known of withdrawals from priced accounts alone."""

    reasons: tuple[str, ...] = ()
    restrictions: tuple[Restriction, ...] = ()
    may_leave: Decimal | None = None

    @property
    def is_allowed(self) -> bool:
        return not self.reasons


def check(account: Account, *, action: Action, at: datetime) -> Answer:
    """Answer for an account as it is at `at`. Raises strict.Refused where the action itself is malformed."""
    if account.closed_on is not None and account.closed_on <= at.date():
        return Answer((f"account {account} was closed on {account.closed_on}",))
    bound = tuple(restrictions.in_force(account, at=at))
    if isinstance(action, Order):
        trade = Trade(account, _instrument(action), action, at)
        return Answer(tuple(_told(row, why) for row in bound if (why := trade.why_not(Effect(row.effect)))), bound)
    payment = Payment(account, cash.instrument(action.currency), action, at)
    barred = tuple(_told(row, why) for row in bound if (why := payment.why_not(Effect(row.effect))))
    reasons, may_leave = payment.within_margin()
    return Answer((*barred, *reasons), bound, may_leave)


def _instrument(order: Order) -> Instrument:
    found = Instrument.objects.filter(code=order.instrument).first()
    if found is None:
        raise strict.refuse("instrument", f"there is no instrument {order.instrument}")
    if found.kind == Kind.CASH:
        raise strict.refuse("instrument", f"{found.code} is cash; ask about a withdrawal")
    if not order.quantity:
        raise strict.refuse("quantity", "is zero; an order moves something")
    return found


def _told(row: Restriction, why: str) -> str:
    until = f" until {row.ends_at:%Y-%m-%d %H:%M} UTC" if row.ends_at else ""
    return f"{row.get_effect_display()} since {row.starts_at:%Y-%m-%d}{until} ({row.reason}): {why}"


# --- orders -----------------------------------------------------------------------------------------


@dataclass
class Trade:
    """An order against what the account holds."""

    account: Account
    instrument: Instrument
    order: Order
    at: datetime

    @cached_property
    def held(self) -> Decimal:
        return _held(self.account, self.instrument)

    @property
    def is_closing(self) -> bool:
        """It reduces the position and does not turn it over."""
        return self.held * self.order.quantity < 0 and abs(self.order.quantity) <= abs(self.held)

    @property
    def turns_over(self) -> bool:
        """It ends on the other side of zero."""
        return self.held * self.order.quantity < 0 and not self.is_closing

    @property
    def is_sold_short(self) -> bool:
        """It leaves, or deepens, a short position; a future is neither borrowed nor lent."""
        after = self.held + self.order.quantity
        return self.order.quantity < 0 and after < 0 and self.instrument.kind not in holdings.MARGINED

    @cached_property
    def cost(self) -> Decimal | None:
        """What it takes of cash in the instrument's currency, negative where it brings some; None: no usable price."""
        price = self.order.price if self.order.price is not None else _mark(self.instrument, self.at)
        if price is None:
            return None
        fill = Fill(quantity=self.order.quantity, price=price, fee=ZERO)
        return -fills.cash_effect(fill, self.instrument, cash.instrument(self.instrument.currency))

    @cached_property
    def on_hand(self) -> Decimal:
        return _held(self.account, cash.instrument(self.instrument.currency))

    @cached_property
    def settled(self) -> Decimal:
        """Cash on hand less what sales will only bring when they settle."""
        return self.on_hand - deposits.unsettled(self.account, self.instrument.currency, on=self.at.date())

    @cached_property
    def supposed(self) -> "Supposed":
        trade: dict[str, Any] = {"instrument": self.instrument.code, "quantity": plain(self.order.quantity)}
        if self.order.price is not None:
            trade["price"] = plain(self.order.price)
        return suppose(self.account, {"trades": [trade]}, at=self.at)

    def why_not(self, effect: Effect) -> str:
        """Why the order may not go ahead under this effect; empty where it may."""
        return ORDERS[effect](self) if effect in ORDERS else ""


def _closing_or_reducing(trade: Trade) -> str:
    if trade.is_closing or (not trade.turns_over and trade.supposed.reduces):
        return ""
    if trade.turns_over:
        return "the order would turn the position over"
    return "the order neither closes a position nor reduces a requirement" + trade.supposed.why_unknown


def _closing(trade: Trade) -> str:
    return "" if trade.is_closing else "the order closes no position"


def _borrows(trade: Trade) -> str:
    if trade.is_closing and trade.order.quantity < 0:
        return ""
    if trade.is_sold_short:
        return f"the order sells {trade.instrument.code} short"
    if trade.cost is None:
        return f"{trade.instrument.code} has no usable price, so nobody knows whether the order borrows; state a price"
    if trade.cost > max(trade.on_hand, ZERO):
        return f"the order takes {_money(trade.cost, trade)} and {_money(trade.on_hand, trade)} is on hand: it borrows"
    return ""


def _beyond_funds(trade: Trade) -> str:
    """Funds on hand: margin for what is opened is there before the order (FINRA's portfolio margin questions)."""
    if trade.is_closing:
        return ""
    lead = trade.account.margined_with or trade.account
    call = MarginCall.objects.open().filter(account=lead).first()
    if call is not None:
        return f"{call} is open, so no funds are on hand for an order that opens"
    if trade.supposed.unpriced:
        return "what the order needs is not known" + trade.supposed.why_unknown
    short = [one for one in trade.supposed.regimes if one.margin_left < 0]
    return "; ".join(f"{one.name} lacks {separated(-one.margin_left, 2)} of initial margin" for one in short)


def _unpaid(trade: Trade) -> str:
    """Cash only: bought with settled cash, nothing on margin, nothing short."""
    if trade.is_closing and trade.order.quantity < 0:
        return ""
    if trade.instrument.kind in holdings.MARGINED and not trade.is_closing:
        return f"{trade.instrument.code} is held on margin"
    if trade.is_sold_short:
        return f"the order sells {trade.instrument.code} short"
    if trade.cost is None:
        return f"{trade.instrument.code} has no usable price; state one"
    if trade.cost > max(trade.settled, ZERO):
        return f"the order takes {_money(trade.cost, trade)} and {_money(trade.settled, trade)} is settled"
    return ""


ORDERS: Mapping[Effect, Callable[[Trade], str]] = {
    Effect.NO_NEW_BORROW: _borrows,
    Effect.CLOSING_ONLY: _closing_or_reducing,
    Effect.LIQUIDATION_ONLY: _closing,
    Effect.FUNDS_ON_HAND: _beyond_funds,
    Effect.CASH_ONLY: _unpaid,
}


def _money(amount: Decimal, trade: Trade) -> str:
    return f"{separated(amount, 2)} {trade.instrument.currency}"


# --- withdrawals ------------------------------------------------------------------------------------


@dataclass
class Payment:
    """A withdrawal against what the account has."""

    account: Account
    currency: Instrument
    withdrawal: Withdrawal
    at: datetime

    def __post_init__(self) -> None:
        if self.withdrawal.amount <= 0:
            raise strict.refuse("amount", f"{self.withdrawal.amount} is not positive; give the amount that leaves")
        cash.checked(self.withdrawal.amount, self.currency)

    @property
    def lead(self) -> Account:
        return self.account.margined_with or self.account

    def why_not(self, effect: Effect) -> str:
        """Why the money may not leave under this effect; empty where it may."""
        if effect in (Effect.NO_WITHDRAWAL, Effect.LIQUIDATION_ONLY):
            return "no money may leave"
        if effect in (Effect.NO_NEW_BORROW, Effect.CASH_ONLY):
            held = _held(self.account, self.currency)
            if self.withdrawal.amount > max(held, ZERO):
                return f"{separated(held, 2)} {self.currency.currency} is on hand: more would be borrowed"
        return ""

    def within_margin(self) -> tuple[list[str], Decimal | None]:
        """Why margin forbids it, and the most that may leave in the base currency; None where nothing is known."""
        amount = plain(self.withdrawal.amount)
        supposed = suppose(self.account, {"cash": {self.currency.currency: f"-{amount}"}}, at=self.at)
        if supposed.unpriced:
            return ["nothing may leave an account without figures" + supposed.why_unknown], None
        open_calls = list(MarginCall.objects.open().filter(account=self.lead).order_by("due_at"))
        if open_calls:
            return [f"{call.get_regime_display()} call {call} is open" for call in open_calls], ZERO
        staying = deposits.staying(self.lead, at=self.at)
        reasons = [
            f"it would leave a deficit of {separated(one.deficit_after, 2)} in {one.name}"
            for one in supposed.regimes
            if one.deficit_after > 0
        ]
        limits = [one.excess for one in supposed.regimes]
        leaving = max((one.equity_lost for one in supposed.regimes), default=ZERO)
        memo = SmaEntry.objects.filter(account=self.lead).order_by("-number").values_list("balance", flat=True).first()
        if memo is not None:
            limits.append(memo)
            if leaving > memo:
                reasons.append(f"SMA is {separated(memo, 2)} and {separated(leaving, 2)} would leave")
        may_leave = max(ZERO, min(limits, default=ZERO) - staying)
        if staying and not reasons and leaving > may_leave:
            reasons.append(f"{separated(staying, 2)} met a call and must stay for now")
        return reasons, may_leave


# --- what the engine says ---------------------------------------------------------------------------


@dataclass(frozen=True)
class RegimeSupposed:
    """One regime before and after, in the base currency."""

    name: str
    excess: Decimal
    equity_lost: Decimal
    requirement_added: Decimal
    deficit_after: Decimal
    margin_left: Decimal


@dataclass(frozen=True)
class Supposed:
    """The account with the action done, by the sweep's own calculation; no regimes and the reasons where unpriced."""

    regimes: Sequence[RegimeSupposed] = ()
    unpriced: tuple[str, ...] = field(default=())

    @property
    def reduces(self) -> bool:
        """No regime requires more, and one less."""
        added = [one.requirement_added for one in self.regimes]
        return bool(added) and max(added) <= 0 and min(added) < 0

    @property
    def why_unknown(self) -> str:
        return f" ({'; '.join(self.unpriced)})" if self.unpriced else ""


def suppose(account: Account, hypotheses: dict[str, Any], *, at: datetime) -> Supposed:
    """What the lead account would be. A price that is missing or stale, or no policy, gives no figures: law 3."""
    from margin import whatif  # the engine: not needed to start

    try:
        found = whatif.of_account(account.margined_with or account, hypotheses, at=at)
    except policies.NoPolicy as error:
        return Supposed(unpriced=(str(error),))
    except whatif.Wrong as error:
        return Supposed(unpriced=(error.reason,))
    unpriced = (*found["unpriced"]["before"], *found["unpriced"]["after"])
    if unpriced:
        return Supposed(unpriced=tuple(dict.fromkeys(unpriced))[:5])
    return Supposed([_regime(one) for one in found["regimes"]])


def _regime(told: dict[str, Any]) -> RegimeSupposed:
    before, after = ({name: Decimal(told[side][name] or 0) for name in READ} for side in ("before", "after"))
    return RegimeSupposed(
        name=told["regime"],
        excess=before["excess"],
        equity_lost=before["equity"] - after["equity"],
        requirement_added=after["requirement"] - before["requirement"],
        deficit_after=after["deficit"],
        margin_left=after["equity"] - max(after["initial"], after["requirement"]),
    )


READ = ("equity", "requirement", "excess", "deficit", "initial")


def _held(account: Account, instrument: Instrument) -> Decimal:
    quantity = Position.objects.filter(account=account, instrument=instrument).values_list("quantity", flat=True)
    return quantity.first() or ZERO


def _mark(instrument: Instrument, at: datetime) -> Decimal | None:
    from margin import prices

    known = prices.gather(at=at).prices.get(instrument.pk)
    return None if known is None or known.refused else known.mark
