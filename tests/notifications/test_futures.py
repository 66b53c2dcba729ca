"""What a letter says that futures and perpetuals are worth: their profit since they were opened, which counts."""

from decimal import Decimal

import pytest

from market.models import Instrument
from notifications import figures

D = Decimal


@pytest.mark.parametrize(
    ("columns", "quantity", "cost", "price", "multiplier", "worth"),
    [
        ({"kind": "equity"}, 10, 400, 50, 1, 500),  # owned, so worth its price
        ({"kind": "future"}, 2, 136_000, 70, 1000, 4_000),
        ({"kind": "future"}, -2, -136_000, 70, 1000, -4_000),
        ({"kind": "future"}, 1, 18_270, D("-37.63"), 1000, -55_900),
        ({"kind": "perpetual"}, 1, 48_000, 50_000, 1, 2_000),
        # 2.5 coins at entry, 100,000 ÷ 50,000 = 2 now; and 100,000 ÷ 45,000 = 2.22222222…, rounded down
        ({"kind": "perpetual", "inverse": True}, 1000, D("-2.5"), 50_000, 100, D("0.5")),
        ({"kind": "perpetual", "inverse": True}, 1000, D("-2.5"), 45_000, 100, D("0.27777777")),
        ({"kind": "future"}, 2, None, 70, 1000, None),
    ],
)
def test_a_contract_is_worth_its_profit(columns, quantity, cost, price, multiplier, worth):
    told = figures._worth(
        Instrument(**columns), D(quantity), None if cost is None else D(cost), D(price), D(multiplier)
    )
    assert told == worth
