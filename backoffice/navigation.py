"""How the admin looks and where its sidebar leads: the value of settings.UNFOLD. Plain data, read at start."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def allowed(permission: str) -> Callable[[HttpRequest], bool]:
    return lambda request: request.user.has_perm(permission)


def anyone(request: HttpRequest) -> bool:
    return True


def page(title: str, icon: str, address: str, permission: str = "", query: str = "") -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{address}", query={"work": query} if query else None),
        "permission": allowed(permission) if permission else anyone,
    }


def rows(title: str, icon: str, table: str) -> dict[str, Any]:
    """A list of rows: "margin_sweep" for margin.Sweep."""
    room, model = table.rsplit("_", 1)
    return page(title, icon, f"{table}_changelist", f"{room}.view_{model}")


SIDEBAR = [
    {
        "title": "Desk",
        "items": [
            page("Dashboard", "dashboard", "index"),
            {
                **rows("Calls", "call", "margin_margincall"),
                "badge": "backoffice.dashboard.open_calls",
                "badge_variant": "info",
            },
            {
                **page("Approvals", "how_to_reg", "approvals", "margin.view_plan"),
                "badge": "backoffice.dashboard.approvals_waiting",
                "badge_variant": "info",
            },
            rows("Tasks", "task", "margin_task"),
            rows("Requests", "rule", "margin_request"),
            rows("Disputes", "gavel", "margin_dispute"),
            rows("Cures", "healing", "margin_cure"),
            rows("Warnings", "warning", "margin_warning"),
            rows("Liquidation plans", "sell", "margin_plan"),
            rows("Orders", "send", "margin_order"),
            rows("Kill switch", "dangerous", "margin_killswitch"),
            rows("Restrictions", "lock", "margin_restriction"),
            rows("Strikes", "sports", "margin_strike"),
            rows("Waivers", "draw", "margin_waiver"),
            rows("Storm gates", "thunderstorm", "margin_stormgate"),
            rows("Confirmed books", "fact_check", "margin_reconciliation"),
            rows("Notices", "mail", "notifications_notice"),
            rows("Quarantine", "front_hand", "market_heldquote"),
        ],
    },
    {
        "title": "Book",
        "collapsible": True,
        "items": [
            rows("Clients", "groups", "accounts_client"),
            rows("Accounts", "account_balance", "accounts_account"),
            rows("Positions", "inventory_2", "accounts_position"),
            rows("Fills", "swap_horiz", "accounts_fill"),
            rows("Cash movements", "payments", "accounts_cashmovement"),
            rows("Adjustments", "tune", "accounts_adjustment"),
            rows("Book loads", "upload_file", "accounts_bookload"),
            rows("Documents", "description", "accounts_document"),
            rows("Receipts of documents", "contract", "accounts_documentreceipt"),
        ],
    },
    {
        "title": "Market",
        "collapsible": True,
        "items": [
            rows("Instruments", "candlestick_chart", "market_instrument"),
            rows("Quotes", "show_chart", "market_quote"),
            rows("Corporate actions", "call_split", "market_corporateaction"),
            rows("Closes", "event_available", "market_close"),
            rows("FX rates", "currency_exchange", "market_fxrate"),
            rows("Rates", "percent", "market_rate"),
            rows("Parameters", "dataset", "market_parameterset"),
            rows("Calendars", "calendar_month", "market_calendar"),
            rows("Days out of turn", "event_busy", "market_daychange"),
            rows("Settlement cycles", "hourglass_bottom", "market_settlementcycle"),
        ],
    },
    {
        "title": "Control",
        "collapsible": True,
        "items": [
            rows("Sweeps", "sync", "margin_sweep"),
            rows("Assessments", "calculate", "margin_assessment"),
            rows("Policies", "gavel", "margin_policy"),
            rows("Policy versions", "history_edu", "margin_policyversion"),
            rows("Releases", "outbound", "margin_release"),
            rows("Order reports", "campaign", "margin_orderreport"),
            rows("Liquidation caps", "speed", "margin_liquidationcap"),
            rows("Standing approvals", "all_inclusive", "margin_standingapproval"),
            rows("Receivables", "receipt_long", "margin_receivable"),
            rows("SMA entries", "stacked_line_chart", "margin_smaentry"),
            rows("Alarms", "notifications_active", "margin_alarm"),
        ],
    },
    {
        "title": "Audit",
        "items": [
            page("Audit", "verified_user", "audit", "margin.view_event"),
            page("Regulator's desk", "menu_book", "registers", "margin.view_event"),
            rows("Events", "link", "margin_event"),
            rows("Seals", "approval", "margin_seal"),
            rows("Epochs", "dns", "margin_systemepoch"),
            rows("Legal holds", "front_hand", "margin_legalhold"),
            rows("Erasures", "person_off", "margin_erasure"),
        ],
    },
    {
        "title": "Administration",
        "collapsible": True,
        "items": [
            rows("Users", "person", "auth_user"),
            rows("Roles", "badge", "auth_group"),
            rows("API keys", "key", "backoffice_apikey"),
            rows("Schedule", "schedule", "django_celery_beat_periodictask"),
            rows("Login attempts", "login", "axes_accessattempt"),
            rows("Logins", "history", "axes_accesslog"),
            rows("Changes of rights", "admin_panel_settings", "margin_rightschange"),
        ],
    },
]

BLUE = {
    "50": "oklch(97% .014 254.604)",
    "100": "oklch(93.2% .032 255.585)",
    "200": "oklch(88.2% .059 254.128)",
    "300": "oklch(80.9% .105 251.813)",
    "400": "oklch(70.7% .165 254.624)",
    "500": "oklch(62.3% .214 259.815)",
    "600": "oklch(54.6% .245 262.881)",
    "700": "oklch(48.8% .243 264.376)",
    "800": "oklch(42.4% .199 265.638)",
    "900": "oklch(37.9% .146 265.522)",
    "950": "oklch(28.2% .091 267.935)",
}


def environment(request: HttpRequest) -> list[str] | None:
    """The badge in the header of every page: that the kill switch is pulled, or that this is not production."""
    from django.conf import settings

    from margin import control_switches

    if request.user.is_authenticated and control_switches.pulled() is not None:
        return ["KILL SWITCH PULLED", "danger"]
    return None if settings.ENVIRONMENT == "production" else [settings.ENVIRONMENT.upper(), "warning"]


UNFOLD = {
    "SITE_TITLE": "Margin Desk",
    "SITE_HEADER": "Margin Desk",
    "SITE_SYMBOL": "balance",
    "SITE_URL": None,
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": "backoffice.navigation.environment",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("desk/favicon.svg")}],
    "STYLES": [lambda request: static("desk/desk.css")],
    "COLORS": {"primary": BLUE},
    "COMMAND": {"search_models": ["margin.margincall", "accounts.account", "accounts.client", "market.instrument"]},
    "SIDEBAR": {"show_search": True, "command_search": True, "show_all_applications": False, "navigation": SIDEBAR},
}
