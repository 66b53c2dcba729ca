"""Autumn 2008: a margin book long AIG, Washington Mutual, Bank of America and SPY, short IWM.

The book and every deed of a person are stated here, day by day; prices come from the recorded bars.
"""

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from backoffice.trial import acts, bars
from backoffice.trial.acts import Act, Book, Holder, Opens, Span, new_york
from backoffice.trial.house import TrialError
from margin.engine.methodologies.reg_t import RULE_BOOK
from market import calendars
from market.guard import Incoming

FIRST, LAST = date(2008, 9, 2), date(2008, 10, 15)
SYMBOLS = ("AIG", "WM", "BAC", "SPY", "IWM")
SOURCE = "tape"
SWEEP_AFTER = timedelta(minutes=10)  # the close is swept when the desk has looked at what is in quarantine
INSTRUMENTS = """\
code,name,kind,currency,minor_exponent,calendar,ticker
USD,US dollar,cash,USD,2,,
AIG,American International Group,equity,USD,,XNYS,AIG
WAMU,Washington Mutual,equity,USD,,XNYS,WM
BAC,Bank of America,equity,USD,,XNYS,BAC
SPY,SPDR S&P 500 ETF,etf,USD,,XNYS,SPY
IWM,iShares Russell 2000 ETF,etf,USD,,XNYS,IWM
"""
# Three settlement days, by 15:00 in New York: Columbus Day, 2008-10-13, trades but does not settle.
CLOCK = {"unit": "business_days", "count": 3, "calendar": "US-SETTLE", "cut_off": "15:00", "zone": "America/New_York"}
STOCK: dict[str, Any] = {"methodology": "reg_t", "kinds": ["equity", "etf"], "clock": CLOCK}
TERMS = {
    "sweep": "securities",
    "calendar": "XNYS",
    "fee_rate": "0.001",
    "plan_minutes": 15,
    "regimes": [
        {
            **STOCK,
            "regime": "house",
            "measure": "house",
            "terms": {
                **RULE_BOOK,
                "house": {
                    "basic": {"long": "0.30", "short": "0.35"},
                    "instruments": {"WAMU": {"long": "0.50", "short": "1.00"}},
                },
            },
            "warning_rate": "1.10",
            "severe_rate": "0.50",
        },
        {**STOCK, "regime": "exchange", "measure": "exchange", "terms": RULE_BOOK, "severe_rate": "0", "warns": False},
    ],
}


def _holder(account: str, client: str, shows: str, cash: str, **holdings: int) -> Holder:
    return Holder(account, client, shows, {"USD": Decimal(cash)} | {k: Decimal(v) for k, v in holdings.items()})


HOLDERS = (
    _holder("M01", "Alder Partners", "Never called", "-60000", SPY=1000),
    _holder("M02", "Birch Capital", "Pays each call", "-75000", SPY=1000),
    _holder("M03", "Cedar Holdings", "All in AIG", "-24000", AIG=2000),
    _holder("M04", "Dogwood Trust", "Sells to meet its call", "-64000", AIG=500, SPY=800),
    _holder("M05", "Elm Family Office", "The market meets its calls", "-40000", BAC=2000),
    _holder("M06", "Fir Investments", "Washington Mutual and a little more", "-22000", WAMU=10000, BAC=300),
    _holder("M07", "Ginkgo Fund", "Short the Russell 2000", "100500", IWM=-1000),
    _holder("M08", "Hazel Brothers", "The whole book", "-25000", SPY=500, AIG=400, BAC=300, WAMU=1000, IWM=-300),
    _holder("M09", "Ivy Street", "Washington Mutual alone", "-8000", WAMU=5000),
    _holder("M10", "Juniper Group", "Does not pay", "-22000", BAC=1000),
    _holder("M11", "Katsura Estate", "Without a loan", "5000", AIG=1000, WAMU=2000),
    _holder("M12", "Larch Associates", "Pays in cash", "-170000", SPY=2000),
    _holder("M13", "Maple Ridge", "The supervisor does not wait", "-33000", BAC=1500),
    _holder("M14", "Nutmeg Trading", "Long one fund, short the other", "8000", SPY=600, IWM=-600),
)
BOOK = Book(
    name="trial 2008",
    agreement="us_margin",
    instruments=INSTRUMENTS,
    holders=HOLDERS,
    terms=TERMS,
    published_at=new_york("2008-09-01 09:00"),
    loaded_at=new_york("2008-09-02 08:00"),
    calendars=(
        Span("XNYS", date(2008, 8, 1), date(2008, 12, 31)),
        Span("US-SETTLE", date(2008, 8, 1), date(2008, 12, 31)),
    ),
)
WM_NEWS = "Receivership of the bank on 2008-09-25; chapter 11 of the holding company on 2008-09-26"
SCRIPT: tuple[Act, ...] = (
    # M13: the supervisor does not wait for the deadline; sold at the next open
    acts.Escalate(new_york("2008-09-17 10:00"), "M13", "house", "Two calls in a week and no answer on the phone"),
    acts.Propose(new_york("2008-09-17 16:20"), "M13", "house"),
    # M03: nothing is left of its equity; sold out, and the rest is owed
    acts.Propose(new_york("2008-09-17 16:20"), "M03", "house"),
    acts.Approve(new_york("2008-09-17 16:25")),
    acts.Execute(new_york("2008-09-18 09:31")),
    # Deposits of September
    acts.Deposit(new_york("2008-09-17 11:00"), "M09", Decimal(2500)),
    acts.Deposit(new_york("2008-09-18 11:00"), "M08", Decimal(4400)),
    acts.Deposit(new_york("2008-09-18 11:00"), "M12", Decimal(7110)),
    # Washington Mutual is written off, and with it what M06 and M09 had
    acts.EnterWriteOff(new_york("2008-10-01 10:00"), "WAMU", new_york("2008-10-01 16:00"), WM_NEWS),
    acts.ApproveActions(new_york("2008-10-02 09:00")),
    acts.Propose(new_york("2008-10-02 16:20"), "M06", "house"),
    acts.Approve(new_york("2008-10-02 16:25")),
    acts.Execute(new_york("2008-10-03 09:31")),
    # October
    acts.Deposit(new_york("2008-10-06 11:00"), "M09", Decimal(5500)),
    acts.Deposit(new_york("2008-10-06 11:00"), "M12", Decimal(3000)),
    acts.Propose(new_york("2008-10-07 16:20"), "M12", "house"),
    acts.Approve(new_york("2008-10-07 16:25")),
    acts.Execute(new_york("2008-10-08 09:31")),
    acts.Deposit(new_york("2008-10-08 11:00"), "M02", Decimal(6200)),
    acts.Propose(new_york("2008-10-08 16:20"), "M10", "house"),
    acts.Propose(new_york("2008-10-08 16:20"), "M12", "house"),
    acts.Approve(new_york("2008-10-08 16:25")),
    acts.Trade(new_york("2008-10-09 09:30"), "M04", "SPY", Decimal(-400)),
    acts.Execute(new_york("2008-10-09 09:31")),
    acts.Deposit(new_york("2008-10-09 11:00"), "M05", Decimal(13000)),
)
# A jump of more than 25 % waits in quarantine until operations has looked: at 16:05, before the sweep of that close,
# or not before the next morning. WAMU's 2.37 and 2.01 nobody confirms: the next close is back within the limit.
CONFIRMED: tuple[Act, ...] = (
    acts.Confirm(new_york("2008-09-15 09:00"), "AIG"),  # Friday's 12.16
    acts.Confirm(new_york("2008-09-16 09:00"), "AIG"),  # Monday's 5.09
    acts.Confirm(new_york("2008-09-17 16:05"), "AIG"),
    acts.Confirm(new_york("2008-09-19 09:00"), "WAMU"),  # Thursday's 3.01
    acts.Confirm(new_york("2008-09-19 16:05"), "AIG"),
    acts.Confirm(new_york("2008-09-24 16:05"), "AIG"),
    acts.Confirm(new_york("2008-09-24 16:05"), "WAMU"),
    acts.Confirm(new_york("2008-09-26 09:00"), "WAMU"),  # Thursday's 1.77
    acts.Confirm(new_york("2008-09-26 16:05"), "WAMU"),  # 0.16, the last price there ever is
    acts.Confirm(new_york("2008-09-30 16:05"), "AIG"),
    acts.Confirm(new_york("2008-10-07 16:05"), "BAC"),
)


def timeline(folder: Path) -> tuple[list[Act], Opens]:
    """Every act from the first close to the last, and the opening prices. The house must be founded."""
    found = bars.read(folder / bars.DAILY, symbols=SYMBOLS, begins="date", first=str(FIRST), last=str(LAST))
    sessions = [on for on in calendars.business_days("XNYS").dates if FIRST <= on <= LAST]
    told: list[Act] = []
    for on, close in calendars.closing_instants("XNYS", sessions).items():
        batch = [Incoming(bar.instrument, SOURCE, close, bar.close) for bar in found if bar.begins == str(on)]
        if not batch:
            raise TrialError(f"{bars.DAILY} lacks the session of {on}")
        told += [
            acts.Quotes(close, batch),
            acts.Sweep(close + SWEEP_AFTER, "securities"),
            acts.Tell(close + SWEEP_AFTER),
        ]
    opens = {(bar.instrument, date.fromisoformat(bar.begins)): bar.open for bar in found}
    return [*told, *CONFIRMED, *SCRIPT], opens
