"""Operations of `derivatives_cases.csv`: brackets, liquidation prices, collateral, funding, interest."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from margin.engine.methodologies import collateral
from margin.engine.methodologies.tiered import accruals, brackets, liquidation, venues

Inputs = Mapping[str, Any]


def _decimal(number: Fraction) -> Decimal:
    return Decimal(number.numerator) / Decimal(number.denominator)


# --- leverage_tiers ---------------------------------------------------------------------------------------


def tier_lookup(inputs: Inputs) -> Inputs:
    found = brackets.bracket_at([brackets.Bracket(*tier) for tier in inputs["tiers"]], inputs["notional"])
    return {"mmr": found.rate, "maint_amount": found.amount}


def maint_amount_recursion(inputs: Inputs) -> Inputs:
    return {"maint_amounts": list(brackets.amounts(inputs["floors"], inputs["mmr"]))}


def maint_amount_step(inputs: Inputs) -> Inputs:
    return {
        "cum": brackets.next_amount(inputs["prev_cum"], inputs["floor"], inputs["mmr_prev"], inputs["mmr"]),
    }


def closed_range_tier(inputs: Inputs) -> Inputs:
    ranges = [brackets.ClosedRange(int(least), int(most), rate) for least, most, rate in inputs["tiers"]]
    return {"mmr": brackets.range_at(ranges, inputs["size"]).rate}


def marginal_tier_mm(inputs: Inputs) -> Inputs:
    value = inputs["value"]
    initial = venues.leveraged(quantity=Decimal(1), price=value, leverage=inputs["leverage"])
    return {
        "initial_margin": _decimal(initial),
        "maintenance_margin": brackets.marginal(value, [tuple(tier) for tier in inputs["tiers"]]),
    }


def power_mmr(inputs: Inputs) -> Inputs:
    power = brackets.Power(inputs["base_mmr"], inputs["base_imr"], inputs["imr_factor"])
    return {"mmr": Decimal(power.rate(float(inputs["notional"])))}


# --- liquidation_price -------------------------------------------------------------------------------------


def _other(other: Inputs) -> liquidation.Other:
    return liquidation.Other(
        int(other["side"]), other["qty"], other["entry"], other["mark"], other["mmr"], other.get("cum", Decimal(0))
    )


def liq_binance(inputs: Inputs) -> Inputs:
    price = liquidation.linear(
        side=int(inputs["side"]),
        wallet=inputs["wallet"],
        quantity=inputs["qty"],
        entry=inputs["entry"],
        rate=inputs["mmr"],
        amount=inputs.get("cum", Decimal(0)),
        others=[_other(other) for other in inputs.get("others", ())],
    )
    return {"liquidation_price": _decimal(price)}


def liq_isolated_with_fee(inputs: Inputs) -> Inputs:
    price = liquidation.isolated_with_fee(
        side=int(inputs["side"]),
        margin=inputs["margin"],
        quantity=inputs["qty"],
        entry=inputs["entry"],
        rate=inputs["mmr"],
        fee_rate=inputs.get("taker_fee") or Decimal(0),
    )
    return {"liquidation_price": _decimal(price)}


def liq_entry_rate(inputs: Inputs) -> Inputs:
    price = liquidation.from_entry(
        side=int(inputs["side"]),
        entry=inputs["entry"],
        leverage=inputs.get("leverage") or Decimal(1),
        rate=inputs["mmr"],
    )
    return {"liquidation_price": _decimal(price)}


def liq_inverse_isolated(inputs: Inputs) -> Inputs:
    found = liquidation.inverse_isolated(
        side=int(inputs["side"]),
        quantity=inputs["qty_usd"],
        entry=inputs["entry"],
        leverage=inputs["leverage"],
        rate=inputs["mmr"],
        deduction=inputs.get("deduction", Decimal(0)),
    )
    return {
        "position_value": _decimal(found.value),
        "initial_margin": _decimal(found.initial),
        "maintenance_margin": _decimal(found.maintenance),
        "liquidation_price": _decimal(found.price),
    }


def bankruptcy_inverse_cross(inputs: Inputs) -> Inputs:
    price = liquidation.inverse_bankruptcy(
        side=int(inputs["side"]),
        quantity=inputs["contracts"],
        entry=inputs["entry"],
        margin=inputs["balance"],
        fee_rate=inputs.get("taker_fee") or Decimal(0),
    )
    return {"bankruptcy_price": _decimal(price)}


def liq_buffered(inputs: Inputs) -> Inputs:
    price = liquidation.buffered(
        side=int(inputs["side"]),
        entry=inputs["entry"],
        price=inputs["exchange_liq"],
        buffer_rate=inputs["buffer"],
    )
    return {"buffered": _decimal(price)}


def liq_isolated_fee_buffer(inputs: Inputs) -> Inputs:
    price = liquidation.isolated_with_reserve(
        side=1 if inputs["qty"] > 0 else -1,
        quantity=abs(inputs["qty"]),
        entry=inputs["price"],
        leverage=inputs["leverage"],
        rate=inputs["mmr"],
        reserve_rate=inputs["fee_buffer"],
    )
    return {"liquidation_price": _decimal(price)}


def liq_power_mmr_cross(inputs: Inputs) -> Inputs:
    price = liquidation.power_cross(
        collateral=inputs["collateral"],
        quantity=inputs["qty"],
        mark=inputs["mark"],
        power=brackets.Power(inputs["base_mmr"], inputs["base_imr"], inputs["imr_factor"]),
        others=sum((abs(one["qty"]) * one["mark"] * one["mmr"] for one in inputs.get("others", ())), Decimal(0)),
    )
    return {"liquidation_price": None if price is None else Decimal(price)}


# --- crypto_cross ------------------------------------------------------------------------------------------


def tier_mm_at_mark(inputs: Inputs) -> Inputs:
    return {
        f"mm_{one['name'].lower()}": brackets.Bracket(Decimal(0), one["mmr"], one.get("cum", Decimal(0))).maintenance(
            one["qty"] * one["mark"]
        )
        for one in inputs["positions"]
    }


def skew_entry_cross(inputs: Inputs) -> Inputs:
    profits = []
    for one, mark in zip(inputs["positions"], inputs["marks"], strict=True):
        fill = venues.skewed_fill(
            quantity=one["qty"], index=one["index"], skew_before=Decimal(0), skew_scale=one["skew"]
        )
        profits.append(venues.profit(quantity=one["qty"], entry=fill, mark=mark))
    left = venues.available(collateral=inputs["collateral"], profits=profits)
    return {"pnl": [_decimal(profit) for profit in profits], "available_margin": _decimal(left)}


def leverage_im(inputs: Inputs) -> Inputs:
    margin = venues.leveraged(
        quantity=inputs["qty"],
        price=inputs["price"],
        leverage=inputs["leverage"],
        multiplier=inputs.get("multiplier", Decimal(1)),
    )
    return {"initial_margin": _decimal(margin)}


def coin_contract_margin(inputs: Inputs) -> Inputs:
    margin = venues.leveraged(quantity=inputs["qty"], price=inputs["contract_usd"], leverage=inputs["leverage"])
    return {"initial_margin_usd": _decimal(margin)}


def shared_pool(inputs: Inputs) -> Inputs:
    asked = [
        venues.leveraged(
            quantity=one["qty"],
            price=one["price"],
            leverage=one["leverage"],
            multiplier=one.get("multiplier", Decimal(1)),
        )
        for one in inputs["positions"]
    ]
    return {
        "maintenance": _decimal(sum(asked, Fraction(0))),
        "buying_power": _decimal(venues.buying_power(collateral=inputs["collateral"], maintenance=asked)),
    }


def collateral_convert(inputs: Inputs) -> Inputs:
    return {"collateral": collateral.converted(inputs["btc"], inputs["price"])}


def rate_margin(inputs: Inputs) -> Inputs:
    quantity, price = inputs["qty"], inputs["price"]
    if not inputs.get("inverse"):
        notional = Fraction(quantity) * Fraction(price)
    elif inputs.get("in_quote"):
        notional = Fraction(quantity)
    else:
        notional = venues.inverse_notional(quantity=quantity, price=price)
    margin = venues.rated(notional=notional, rate=inputs["rate"], leverage=inputs.get("leverage") or Decimal(1))
    return {"margin": _decimal(margin)}


def kraken_level(inputs: Inputs) -> Inputs:
    found = venues.margin_level(
        balance=inputs["balance"],
        side=int(inputs["side"]),
        quantity=inputs["qty"],
        entry=inputs["entry"],
        mark=inputs["mark"],
        leverage=inputs["leverage"],
        is_used_at_mark=inputs.get("used_at") == "mark",
    )
    return {
        "equity": _decimal(found.equity),
        "used_margin": _decimal(found.used),
        "margin_level": _decimal(found.level),
    }


# --- collateral_haircut -------------------------------------------------------------------------------------


def marginal_ratio_tiers(inputs: Inputs) -> Inputs:
    counted = [collateral.counted(one["usd_value"], [tuple(t) for t in one["tiers"]]) for one in inputs["assets"]]
    return {"margin_value": sum(counted, Decimal(0))}


def flat_haircuts(inputs: Inputs) -> Inputs:
    assets = [(one["qty"], one["price"], one["haircut"]) for one in inputs["assets"]]
    return {"collateral": collateral.after_haircuts(assets)}


# --- borrow_interest, funding -------------------------------------------------------------------------------


def interest_binance(inputs: Inputs) -> Inputs:
    interest = accruals.interest_by_hour(borrowed=inputs["borrowed"], daily_rate=inputs["rate"], hours=inputs["hours"])
    return {"interest": _decimal(interest)}


def interest_kraken(inputs: Inputs) -> Inputs:
    interest = accruals.interest_by_period(
        borrowed=inputs["borrowed"], period_rate=inputs["rate"], hours=inputs["hours"]
    )
    return {"interest": _decimal(interest)}


def funding_snapshots(inputs: Inputs) -> Inputs:
    stamps = [accruals.Stamp(Decimal(0), one["rate"], one.get("mark")) for one in inputs["snapshots"]]
    return {"funding_pnl": accruals.funding(side=int(inputs["side"]), size=inputs["size"], stamps=stamps)}


def funding_window(inputs: Inputs) -> Inputs:
    paid = accruals.funding_while_held(
        side=int(inputs["side"]),
        size=inputs["size"],
        opened=inputs["open_h"],
        closed=inputs["close_h"],
        stamps=[accruals.Stamp(*stamp) for stamp in inputs["history"]],
    )
    return {"funding_pnl": paid}


def funding_clamp(inputs: Inputs) -> Inputs:
    greatest = accruals.greatest_funding_rate(
        clamp_factor=inputs["clamp_factor"], initial_rate=inputs["imf"], maintenance_share=inputs["mm_fraction"]
    )
    return {"max_abs_rate": greatest}


def funding_index_settlement(inputs: Inputs) -> Inputs:
    settled = accruals.index_settlement(size=int(inputs["size"]), index_change=int(inputs["index_delta"]))
    return {"settlement_ppm": Decimal(settled)}


# --- margin_status, okx_pm ----------------------------------------------------------------------------------


def ratio_bands(inputs: Inputs) -> Inputs:
    ladder = [tuple(rung) for rung in inputs["ladder"]]
    return {"status": venues.ratio_band(inputs["ratio"], ladder, inputs["below"])}


def ltv_bands(inputs: Inputs) -> Inputs:
    return {"status": venues.ltv_band(inputs["ltv"], [tuple(rung) for rung in inputs["ladder"]])}


def mr7_tiers(inputs: Inputs) -> Inputs:
    found = venues.okx_margin(
        total=inputs["mr_total"], minimum=inputs["mr7"], tiers=[tuple(tier) for tier in inputs["tiers"]]
    )
    return {"mr7_adjusted": found.minimum, "mmr": found.maintenance, "imr": found.initial}


OPERATIONS: dict[str, Callable[[Inputs], Inputs]] = {
    operation.__name__: operation
    for operation in (
        tier_lookup,
        maint_amount_recursion,
        maint_amount_step,
        closed_range_tier,
        marginal_tier_mm,
        power_mmr,
        liq_binance,
        liq_isolated_with_fee,
        liq_entry_rate,
        liq_inverse_isolated,
        bankruptcy_inverse_cross,
        liq_buffered,
        liq_isolated_fee_buffer,
        liq_power_mmr_cross,
        tier_mm_at_mark,
        skew_entry_cross,
        leverage_im,
        coin_contract_margin,
        shared_pool,
        collateral_convert,
        rate_margin,
        kraken_level,
        marginal_ratio_tiers,
        flat_haircuts,
        interest_binance,
        interest_kraken,
        funding_snapshots,
        funding_window,
        funding_clamp,
        funding_index_settlement,
        ratio_bands,
        ltv_bands,
        mr7_tiers,
    )
}
