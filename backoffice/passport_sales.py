"""The pages of a passport about forced sales: each plan with its approvals, its release, its orders and its fills."""

from collections.abc import Callable, Mapping, Sequence
from json import loads
from typing import Any

from reportlab.platypus import Flowable

from backoffice import papers
from backoffice.passport_words import named, number, spaced, when
from backoffice.plans import AIMS, NAMES

Tree = Mapping[str, Any]


def pages(plans: Sequence[Tree], people: Tree, section: Callable[..., list[Flowable]]) -> list[Flowable]:
    if not plans:
        return section("Forced sales", (), [])
    return [made for plan in plans for made in _plan(plan, people, section)]


def _plan(plan: Tree, people: Tree, section: Callable[..., list[Flowable]]) -> list[Flowable]:
    codes = {line["id"]: line["instrument"] for line in plan["lines"]}
    by = named(plan["proposed_by_id"], people) or "the system"
    content = loads(plan["content"])
    return [
        papers.heading(f"Forced sale, plan {plan['id']}: {plan['state']}"),
        papers.sentence(f"Proposed by {by}, {when(plan['proposed_at'])}; expires {when(plan['expires_at'])}."),
        *([papers.sentence(f"Best at: {AIMS[content['objective']]}.")] if content.get("objective") else []),
        papers.sentence(f"Content hash {plan['content_hash']}"),
        *([papers.sentence(plan["reason"])] if plan["reason"] else []),
        *section(
            "What was to be sold", ("instrument", "quantity", "price", "fee"),
            [[line["instrument"], *(number(line[name]) for name in ("quantity", "price", "fee"))]
             for line in plan["lines"]],
        ),
        *section("Weighed against", WEIGHED, _weighed(content)),
        *section(
            "Who approved it", ("person", "at", "content hash"),
            [[named(one["approver_id"], people), when(one["approved_at"]), one["content_hash"]]
             for one in plan["approvals"]],
        ),
        *section("How it was let out", ("at", "by", "venue", "worth", "rests on"), _release(plan["release"], people)),
        *section("Orders", ("order", "instrument", "quantity", "limit", "state", "last change"), _orders(plan, codes)),
        *section(
            "What venues said", ("order", "report", "at", "told", "quantity", "price", "fee", "words"), _reports(plan)
        ),
        *section(
            "Fills", ("instrument", "quantity", "price", "fee", "traded", "reference"),
            [[codes.get(one["line"], ""), *(number(one[name]) for name in ("quantity", "price", "fee")),
              when(one["traded_at"]), f"{one['source']} {one['external_reference']}"] for one in plan["fills"]],
        ),
    ]  # fmt: skip


WEIGHED = ("way", "value", "fees", "half spreads", "orders", "left beyond the requirement", "")


def _weighed(content: Tree) -> list[list[object]]:
    """The plan beside the other ways; nothing for plans of the time before that was kept."""
    if "total" not in content:
        return []
    ways = [("this plan", content["total"]), *((NAMES[one["name"]], one) for one in content["alternatives"])]
    ways.append(("everything that may be sold", content["everything"]))
    return [
        [way, *(number(one[name]) for name in ("value", "fee", "spread")), one["orders"], number(one["excess"]),
         "enough" if one["is_enough"] else "not enough"]
        for way, one in ways
    ]  # fmt: skip


def _release(release: Tree | None, people: Tree) -> list[list[object]]:
    if release is None:
        return []
    standing = release["standing_approval"]
    rests = f"standing approval {standing['id']}" if standing else "the approvals above"
    by = named(release["released_by_id"], people) or "the system"
    return [[when(release["released_at"]), by, release["venue"], number(release["notional"]), rests]]


def _orders(plan: Tree, codes: Mapping[int, str]) -> list[list[object]]:
    return [
        [order["client_order_id"], codes.get(order["line_id"], ""), number(order["quantity"]),
         number(order["limit_price"]), order["state"], when(order["moved_at"])]
        for order in plan["orders"]
    ]  # fmt: skip


def _reports(plan: Tree) -> list[list[object]]:
    return [
        [order["client_order_id"], report["report_id"], when(report["at"]), spaced(report["told"]),
         number(report["quantity"]), number(report["price"]), number(report["fee"]), report["text"]]
        for order in plan["orders"]
        for report in order["reports"]
    ]  # fmt: skip
