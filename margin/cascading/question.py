"""What is asked of the radar, as one JSON document (docs/cascade.md)."""

# ruff: noqa: RUF009  `said` is dataclasses.field
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from margin.hypothetical.document import LARGEST, BookDocument
from margin.hypothetical.forms import said

MOST_ROUNDS = 100
SMALLEST, PRO_RATA = "smallest", "pro_rata"


@dataclass(frozen=True)
class Slices:
    """How the staged schedule is paced (Almgren and Chriss 2000)."""

    count: int = said("Stages, each as long as `days`", default=5, of=range(1, 51))
    aversion: Decimal = said("λ: dislike of risk, per unit of currency", default=Decimal("0.00000001"), within=1)
    permanent_rate: Decimal = said("Permanent impact as a share of the temporary one", default=Decimal("0.1"), within=1)


@dataclass(frozen=True)
class CascadeQuestion:
    """A shock, whose accounts it meets, and how markets take what is sold."""

    shock: Decimal = said("Of every share, fund, coin, index, future and perpetual", default=Decimal(0))
    price_shocks: Mapping[str, Decimal] = said("By instrument code, instead of `shock`, as fractions", default={})
    kind: str = said("Which sweep's stored accounts", default="", of=("", "securities", "crypto"))
    book: BookDocument | None = said("A self-contained book instead of stored accounts", default=None)
    clients: Mapping[str, str] = said("Of a self-contained book: the client of an account, by codes", default={})
    counterparties: tuple[str, ...] = said(
        "Of a self-contained book: codes of accounts that are ours at others", default=(), most=LARGEST
    )
    currency: str = said("In which sums are told; empty: the only one, or USD", default="", code=12)
    sales: str = said(
        "smallest: the fewest whole lots that restore; pro_rata: holdings worth the whole shortfall, a like share of"
        " each",
        default=SMALLEST,
        of=(SMALLEST, PRO_RATA),
    )
    volatilities: Mapping[str, Decimal] = said("By instrument code, per day, as a fraction", default={}, positive=True)
    daily_volumes: Mapping[str, Decimal] = said("By instrument code, units a day", default={}, positive=True)
    days: Decimal = said("τ: days in which a round's sales are done", default=Decimal(1), positive=True)
    depth_rate: Decimal = said("c: depth is c · ADV / σ · √τ", default=Decimal("0.4"), positive=True)
    floor_rate: Decimal = said("B: share of the shocked price below which no sale pushes it", default=Decimal("0.5"))
    late_rate: Decimal = said("α: share of what is sold that goes at the new price", default=Decimal("0.5"))
    settled_rate: Decimal = said(
        "A round in which no price moves by so much is the last; 0: none is", default=Decimal(0)
    )
    max_rounds: int = said("At most so many rounds", default=20, of=range(1, MOST_ROUNDS + 1))
    liquidity: Mapping[str, Decimal] = said("What we have to answer calls on us, by currency", default={})
    capital: Decimal = said("Ours, from which losses are borne when all is cleared", default=Decimal(0))
    means: Mapping[str, Decimal] = said("Of clients outside the book, by code, in `currency`", default={})
    recovery_rate: Decimal = said("Of what a defaulter has and gets, the share that its creditors see",
                                  default=Decimal(1))  # fmt: skip
    slices: Slices = said("Of the staged schedule", default=Slices())
