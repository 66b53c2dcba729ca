"""The parts of a letter: each says one thing to the client in sentences, figures and lists. Pure.

What a margin-call notice must carry is workflow.md §6.1; consequences mirror the risk statements of FINRA Rule 2264.
"""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_HALF_EVEN, Decimal

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from notifications import cure_options, wording
from notifications.addresses import visible
from notifications.cases import Case, Demand
from notifications.cure_options import Step, Way
from notifications.figures import Figures, Holding

ZERO = Decimal(0)
MOST_POSITIONS = 20
MOST_DECIMALS = 8  # of an amount in another currency, coins among them

# Whose rule is measured against, in plain words; `policy` is the version in force. By regime.
CALLS = {
    "house": gettext_lazy("a house call"),
    "exchange": gettext_lazy("an exchange call"),
    "reg_t": gettext_lazy("a Federal Reserve call"),
    "minimum_equity": gettext_lazy("a minimum equity call"),
    "loan": gettext_lazy("a collateral call"),
    "futures": gettext_lazy("a futures call"),
    "csa": gettext_lazy("a call for delivery under your credit support annex"),
    "portfolio": gettext_lazy("a portfolio margin call"),
    "day_trade": gettext_lazy("a day-trading call"),
    "intraday": gettext_lazy("an intraday margin call"),
    "concentration": gettext_lazy("a concentration call"),
}
RULES = {
    "house": gettext_lazy(
        "our own house requirement (policy %(policy)s), which may be stricter than the exchange minimum"
    ),
    "exchange": gettext_lazy("the exchange minimum of FINRA Rule 4210 (policy %(policy)s)"),
    "reg_t": gettext_lazy("Regulation T of the Federal Reserve (policy %(policy)s)"),
    "minimum_equity": gettext_lazy("the least equity of a margin account, FINRA Rule 4210(b) (policy %(policy)s)"),
    "loan": gettext_lazy("the loan-to-value ladder of your loan agreement (policy %(policy)s)"),
    "futures": gettext_lazy("the margin of your futures and options on them (policy %(policy)s)"),
    "csa": gettext_lazy("the credit support amount of your agreement (policy %(policy)s)"),
    "portfolio": gettext_lazy("portfolio margin, FINRA Rule 4210(g) (policy %(policy)s)"),
    "day_trade": gettext_lazy("the day-trading rules of FINRA Rule 4210(f)(8) (policy %(policy)s)"),
    "intraday": gettext_lazy("the intraday margin rules of FINRA Rule 4210(d) (policy %(policy)s)"),
    "concentration": gettext_lazy("our own rule for concentrated positions (policy %(policy)s)"),
}
OTHER_CALL = gettext_lazy("a margin call")
OTHER_RULE = gettext_lazy("policy %(policy)s")
ESCALATIONS = {
    "deadline": gettext_lazy("The deadline of your margin call has passed and the amount below is still outstanding."),
    "severity": gettext_lazy(
        "Your account has fallen below the level at which we do not wait for the deadline. The amount below is "
        "outstanding."
    ),
    "undeliverable": gettext_lazy("We could not reach you about your margin call. The amount below is outstanding."),
    "person": gettext_lazy(
        "After review, our margin desk does not wait for the deadline. The amount below is outstanding."
    ),
}
RESOLUTIONS = {
    "cash": gettext_lazy("Your payment has settled and covers the call. Thank you."),
    "securities": gettext_lazy("The securities you brought in cover the call. Thank you."),
    "sale": gettext_lazy("Your sale of positions covers the call. Thank you."),
    "market": gettext_lazy("Market prices moved in your favour and your account meets its requirement again."),
    "mixed": gettext_lazy("Payments or sales, together with market prices, have restored your account."),
    "requirement_change": gettext_lazy("The requirement was lowered and your account meets it."),
}


@dataclass(frozen=True)
class Section:
    """A part of a letter: sentences, then label and figure, then bullets, then a table. Any may be empty."""

    title: str = ""
    sentences: tuple[str, ...] = ()
    rows: tuple[tuple[str, str], ...] = ()
    bullets: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    table: tuple[tuple[str, ...], ...] = ()


def money(case: Case, value: Decimal) -> str:
    return wording.money(value, case.currency, case.minor)


def origin(case: Case) -> str:
    """Which call it is and whose rule requires it; a warning only says what was measured against."""
    rule = str(RULES.get(case.regime, OTHER_RULE)) % {"policy": case.policy}
    if case.demand is None:
        return _("Your equity is measured against %(rule)s.") % {"rule": rule}
    call = CALLS.get(case.regime, OTHER_CALL)
    return _("This is %(call)s: it is required by %(rule)s.") % {"call": call, "rule": rule}


# --- why and how much -------------------------------------------------------------------------------------


def why(case: Case, figures: Figures | None) -> Section:
    """Equity against requirement, and the prices they rest on."""
    if figures is None:
        return Section(title=_("Why"), sentences=(origin(case),))
    rows = [
        (_("Equity in your account"), money(case, figures.equity)),
        (_("Required"), money(case, figures.requirement)),
        (_("Equity less required"), money(case, figures.equity - figures.requirement)),
    ]
    if figures.restore_requirement != figures.requirement:
        rows.append((_("Required to close a call"), money(case, figures.restore_requirement)))
    if figures.requirement > 0 and figures.cover is not None:
        rows.append((_("Cover (equity ÷ required)"), wording.number(_rounded(figures.cover, 4, ROUND_DOWN), 4)))
    priced = _("Valued at the prices of %(instant)s.") % {"instant": wording.instant(figures.at, case.zone)}
    return Section(title=_("Why"), sentences=(origin(case), priced), rows=tuple(rows))


def this_call(case: Case, demand: Demand) -> Section:
    """What was called, what came in, what is open."""
    rows = [
        (_("Amount called"), money(case, demand.called)),
        (_("Received and settled"), money(case, demand.received)),
    ]
    if demand.state in ("issued", "escalated"):
        rows.append((_("Outstanding"), money(case, demand.outstanding)))
    called = _("Called %(instant)s.") % {"instant": wording.instant(demand.issued_at, case.zone)}
    return Section(title=_("This call"), sentences=(called,), rows=tuple(rows))


# --- how to cure ------------------------------------------------------------------------------------------

STEPS = {
    "sell": gettext_lazy("sell %(units)s %(name)s"),
    "buy_back": gettext_lazy("buy back %(units)s %(name)s"),
    "deposit": gettext_lazy("deposit %(units)s more %(name)s"),
}
UNSIZED = {
    cure_options.STORM: gettext_lazy(
        "Many calls go out at this moment, so this letter names cash alone. Ask us: we size sales and deposits for you."
    ),
    cure_options.MOVED_ON: gettext_lazy(
        "Your account or this call has moved on since, so this letter names cash alone. Ask us: we size sales and "
        "deposits for you."
    ),
    cure_options.UNKNOWN: gettext_lazy(
        "Sales and deposits cannot be sized at this moment, because a price or a cost is missing. Ask us, and we look "
        "into it."
    ),
}


def cures(case: Case, demand: Demand) -> Section:
    """The ways to meet the call; each was tried on the account and alone is enough. Five at the most, cash first."""
    options, cash = case.options, {"amount": money(case, demand.outstanding)}
    by_cash = (
        _("Repay %(amount)s in cleared funds.") if case.regime == "loan" else _("Pay in %(amount)s in cleared funds.")
    )
    bullets = [by_cash % cash, *(_way(case, way) for way in options.ways)]
    if options.deposit_value is not None and options.deposit_rate is not None:
        stated = {"value": money(case, options.deposit_value), "rate": wording.percent(options.deposit_rate)}
        bullets.append(
            _("Or deposit other marginable securities worth %(value)s, margined at %(rate)s or less.") % stated
        )
    return Section(title=_("How to meet it"), sentences=_conditions(case, demand, len(bullets)), bullets=tuple(bullets))


def _way(case: Case, way: Way) -> str:
    """`Or sell 7 XYZ (worth 350.00 USD) and buy back 2 ABC (worth 90.00 USD); our fee is 0.44 USD.`"""
    words = {"steps": _(" and ").join(_step(case, step) for step in way.steps), "fee": money(case, way.fee)}
    return _("Or %(steps)s; our fee is %(fee)s.") % words if way.fee else _("Or %(steps)s.") % words


def _step(case: Case, step: Step) -> str:
    told = str(STEPS[step.verb]) % {"units": wording.number(step.units), "name": wording.isolated(step.name)}
    if not step.amount:
        return told
    places = case.minor if step.currency == case.currency else MOST_DECIMALS
    worth = wording.money(_rounded(step.amount, places, ROUND_HALF_EVEN).normalize(), step.currency, min(places, 2))
    return _("%(step)s (worth %(value)s)") % {"step": told, "value": worth}


def _conditions(case: Case, demand: Demand, ways: int) -> tuple[str, ...]:
    options, sentences = case.options, []
    if ways > 1:
        sentences.append(_("Each of these alone meets the call at the prices of %(instant)s.") % {
            "instant": wording.instant(case.at, case.zone)
        })  # fmt: skip
    if options.unsized:
        sentences.append(str(UNSIZED[options.unsized]))
    if options.refuses_sales:
        sentences.append(_("Selling positions does not meet this call."))
    elif not options.unsized and not any(step.verb != "deposit" for way in options.ways for step in way.steps):
        sentences.append(_("Closing positions alone is not enough to meet it."))
    if options.all_cash is not None:
        together = {"n": options.calls, "amount": money(case, options.all_cash)}
        sentences.append(
            _("Your account has %(n)s open calls on the same equity: %(amount)s meets them all.") % together
        )
    if demand.market_cures:
        sentences.append(_("Amounts move with the market; ask us for the figure of the moment before you act."))
    else:
        sentences.append(_("A recovery of prices does not meet this call."))
    return (*sentences, *_cushions(case))


def _cushions(case: Case) -> tuple[str, ...]:
    """What to pay in so as not to be called again until the deadline, where the policy lets us estimate it."""
    words = _("%(amount)s for a chance of %(chance)s")
    told = [
        words % {"amount": money(case, cash), "chance": wording.percent(probability)}
        for probability, cash in case.options.cushions
    ]
    if not told:
        return ()
    sentence = _("To stay clear of another call until the deadline, pay in %(amounts)s; an estimate, no promise.")
    return (sentence % {"amounts": _(", or ").join(told)},)


def what_counts() -> Section:
    return Section(
        title=_("What counts as received"),
        sentences=(
            _("Money and securities count once they have settled in your account. An instruction, a cheque or a "
              "transfer on its way does not count yet; tell us about it with its reference."),
        ),
    )  # fmt: skip


# --- what happens otherwise -------------------------------------------------------------------------------


def consequences(case: Case) -> Section:
    bullets = [
        _("We may sell securities or other assets in your account without contacting you first."),
        _("We choose what to sell and when; you are not entitled to choose."),
        _("We may act before the deadline if your account loses more value or the market moves quickly."),
        _("We may raise our requirements at any time without notice, which can lead to another call."),
        _("You are not entitled to more time."),
        _("You can lose more than you deposited, and you owe whatever remains after positions are sold."),
    ]
    fee_rate = case.figures.fee_rate if case.figures else ZERO
    if fee_rate > 0:
        bullets.append(
            _("We charge %(rate)s of the value of positions that we close.") % {"rate": wording.percent(fee_rate)}
        )
    return Section(title=_("If the call is not met"), bullets=tuple(bullets))


def warned_consequences() -> Section:
    return Section(
        title=_("Please keep in mind"),
        bullets=(
            _("If your equity falls below the requirement, we will call for margin, and the time to act may be short."),
            _("In a fast market we may sell positions without contacting you first."),
            _("We may raise our requirements at any time without notice."),
        ),
    )


def distance(case: Case) -> Section:
    """How far the call is away, as the event says it: the rung, the chance where one is known, and for the main
    holdings the last price without a call while all else stands still."""
    told, sentences = case.details, []
    if told.get("rung"):
        sentences.append(_("Warning level reached: %(rung)s.") % {"rung": told["rung"]})
    if "chance" in told and told.get("horizon_days"):
        words = _(
            "We estimate the chance of a call after %(days)s trading days at %(chance)s; an estimate, no promise."
        )
        chance = {"days": told["horizon_days"], "chance": wording.percent(Decimal(told["chance"]))}
        sentences.append(words % chance)
    known = [line for line in told.get("distances", []) if line[2]]
    if known:
        sentences.append(_("Each price below is the last one without a call while everything else stands still."))
    currencies = {held.code: held.currency for held in case.figures.holdings} if case.figures else {}
    table = [
        (code, *(f"{wording.number(Decimal(price), 2)} {currencies.get(code, '')}".rstrip() for price in prices))
        for code, *prices in ((visible(line[0]), *line[1:]) for line in known)
    ]
    header = (_("Holding"), _("Price"), _("Last price without a call")) if known else ()
    return Section(title=_("How far the call is away"), sentences=tuple(sentences), header=header, table=tuple(table))


def advice() -> Section:
    return Section(
        title=_("What you can do"),
        sentences=(_("Deposit cash or marginable securities, or reduce positions. You need not wait for a call."),),
    )


# --- tables and small print -------------------------------------------------------------------------------


def positions(case: Case) -> Section:
    """The holdings with the largest requirement first, cash last."""
    if case.figures is None or not case.figures.holdings:
        return Section()
    ranked = sorted(case.figures.holdings, key=lambda held: (held.is_cash, -(held.requirement or ZERO), held.code))
    left_out = len(ranked) - MOST_POSITIONS
    omitted = _("%(n)s more with smaller requirements are not listed.") % {"n": left_out}
    return Section(
        title=_("Your positions (value and required in %(currency)s)") % {"currency": case.currency},
        sentences=(omitted,) if left_out > 0 else (),
        header=(_("Holding"), _("Value"), _("Required")),
        table=tuple(
            (_held(held), _cell(case, held.value, ROUND_HALF_EVEN), _cell(case, held.requirement, ROUND_CEILING))
            for held in ranked[:MOST_POSITIONS]
        )
        + tuple(
            (
                _("Together: %(names)s") % {"names": ", ".join(map(wording.isolated, one.names))},
                "",
                _cell(case, one.requirement, ROUND_CEILING),
            )
            for one in case.figures.together[:MOST_POSITIONS]
        ),
    )


def _held(held: Holding) -> str:
    quantity = wording.number(held.quantity, 2 if held.is_cash else 0)
    if held.price is None:
        return f"{wording.isolated(held.name)}: {quantity}"
    return _traded(held.name, quantity, wording.money(held.price, held.currency))


def _traded(name: str, quantity: str, price: str) -> str:
    words = {"name": wording.isolated(name), "quantity": quantity, "price": price}
    return _("%(name)s: %(quantity)s at %(price)s") % words


def _cell(case: Case, value: Decimal | None, rounding: str) -> str:
    return "—" if value is None else wording.number(_rounded(value, case.minor, rounding), case.minor)


def _rounded(value: Decimal, places: int, rounding: str) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-places), rounding=rounding)


def sold(case: Case) -> Section:
    return Section(
        title=_("What was closed"),
        header=(_("Bought (+) or sold (−)"), _("Fee")),
        table=tuple(
            (
                _traded(sale.name, wording.number(sale.quantity), wording.money(sale.price, sale.currency)),
                wording.money(sale.fee, sale.currency),
            )
            for sale in case.sales
        ),
    )


def contact(case: Case) -> Section:
    """How to acknowledge, claim a payment, disagree or ask."""
    firm = case.firm
    reply = _(
        "Reply to this mail or write to %(email)s with the reference %(reference)s: that you have seen this, that you "
        "have paid (with the payment's reference), that you disagree and why, or that you need help."
    )
    return Section(
        title=_("Answer us"),
        sentences=(
            reply % {"email": firm.email, "reference": case.reference},
            _("By phone: %(phone)s, %(hours)s.") % {"phone": firm.phone, "hours": firm.hours},
        ),
    )


def account(case: Case) -> Section:
    return Section(
        title=_("Account"),
        rows=(
            (_("Reference"), case.reference),
            (_("Client"), case.client),
            (_("Account"), case.account),
            (_("Agreement"), case.agreement),
            (_("Currency"), case.currency),
        ),
    )
