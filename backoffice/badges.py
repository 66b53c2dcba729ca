"""States as words in pills, the same on every page. Colour never alone: a word or an icon says it too."""

from typing import Any

from django.utils.safestring import SafeString

from market import figures

UNDELIVERED = ("complained", "failed", "rejected", "bounced")
STATE_ICONS = {
    "issued": "mail",
    "escalated": "priority_high",
    "met": "check_circle",
    "liquidated": "sell",
    "cancelled": "block",
}
DELIVERY_LOOKS = {
    "queued": "quiet",
    "sent": "quiet",
    "deferred": "warn",
    "delivered": "good",
    "opened": "good",
    **dict.fromkeys(UNDELIVERED, "bad"),
}


def state_badge(call: Any) -> SafeString:
    look = call.state if call.escalation_level < 2 else "escalated-2"
    word = f"escalated, level {call.escalation_level}" if call.escalation_level > 1 and call.is_open else call.state
    return figures.badge(word, look=look, icon=STATE_ICONS.get(call.state, ""))


def delivery_badge(state: str | None) -> SafeString:
    if not state:
        return figures.missing("no notice yet: one is prepared within 15 seconds of an event that needs it")
    return figures.badge(state, look=DELIVERY_LOOKS.get(state, "quiet"))
