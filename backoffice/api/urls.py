"""Every address under /api/. The names (`api:calls-list`, `api:calls-detail`, …) stay as they are from here on."""

from typing import Any

from django.urls import include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny
from rest_framework.routers import DefaultRouter
from rest_framework.viewsets import ReadOnlyModelViewSet

from accounts import api as accounts
from accounts import corrections_api as corrections
from accounts import document_api
from backoffice import passport_api
from backoffice.api import problems
from backoffice.api.writing import acting, guarded
from margin import api as margin
from margin import (
    controls,
    controls_api,
    cure_api,
    order_api,
    register_api,
    retention_api,
    verb_api,
    verbs,
    warning_api,
)
from margin import restriction_api as rights
from margin.hypothetical import api as hypothetical
from market import api as market
from notifications import api as notifications

app_name = "api"


class Router(DefaultRouter):
    include_format_suffixes = False


ADDRESSES: dict[str, type[ReadOnlyModelViewSet[Any]]] = {
    "clients": accounts.Clients,
    "accounts": accounts.Accounts,
    "positions": guarded(accounts.Positions),
    "fills": guarded(accounts.Fills),
    "cash-movements": guarded(accounts.CashMovements),
    "cash-reversals": guarded(corrections.CashReversals),
    "fill-busts": guarded(corrections.FillBusts),
    "deliveries": guarded(corrections.Deliveries),
    "documents": guarded(document_api.Documents),
    "document-receipts": guarded(document_api.DocumentReceipts),
    "instruments": market.Instruments,
    "quotes": guarded(market.Quotes),
    "held-quotes": market.HeldQuotes,
    "corporate-actions": market.CorporateActions,
    "parameters": market.Parameters,
    "policies": margin.Policies,
    "sweeps": margin.Sweeps,
    "assessments": margin.Assessments,
    "calls": acting(verb_api.Calls),
    "events": margin.Events,
    "plans": margin.Plans,
    "orders": order_api.Orders,
    "order-reports": order_api.Reports,
    "kill-switches": order_api.KillSwitches,
    "liquidation-caps": order_api.Caps,
    "standing-approvals": order_api.StandingApprovals,
    "requests": verb_api.Requests,
    "disputes": verb_api.Disputes,
    "tasks": verb_api.Tasks,
    "cures": verb_api.Cures,
    "sma-entries": margin.SmaEntries,
    "restrictions": rights.Restrictions,
    "strikes": rights.Strikes,
    "waivers": rights.Waivers,
    "legal-holds": retention_api.LegalHolds,
    "erasures": retention_api.Erasures,
    "gates": controls_api.Gates,
    "reconciliations": controls_api.Reconciliations,
    "warnings": warning_api.Warnings,
    "notices": notifications.Notices,
}
router = Router()
for name, rows in ADDRESSES.items():
    router.register(name, rows, basename=name)

deeds = [
    *(
        path(f"v1/{act.on}/<int:id>/{act.name}/", acting(verb_api.does(act)).as_view(), name=f"{act.on}-{act.name}")
        for act in verbs.ACTS
    ),
    *(path(f"v1/{on}/<int:id>/verbs/", acting(verb_api.offers(on)).as_view(), name=f"{on}-verbs") for on in verbs.ROWS),
    *(
        path(f"v1/{one.address}", acting(controls_api.does(one)).as_view(), name=f"{one.on}-{one.name}")
        for one in controls.CONTROLS
    ),
    path("v1/retractions/", acting(verb_api.Retractions).as_view(), name="retractions"),
]
public = {"authentication_classes": [], "permission_classes": [AllowAny]}
urlpatterns = [
    path("v1/whatif/", hypothetical.BookWhatif.as_view(), name="whatif"),
    path("v1/cascade/", hypothetical.Cascade.as_view(), name="cascade"),
    path("v1/stress/", hypothetical.HouseStress.as_view(), name="stress"),
    path("v1/accounts/<path:code>/whatif/", hypothetical.AccountWhatif.as_view(), name="accounts-whatif"),
    path("v1/accounts/<path:code>/alert/", acting(warning_api.AccountAlert).as_view(), name="accounts-alert"),
    path("v1/accounts/<path:code>/check/", rights.AccountCheck.as_view(), name="accounts-check"),
    path("v1/accounts/<path:code>/stress/", hypothetical.AccountStress.as_view(), name="accounts-stress"),
    path("v1/clients/<path:code>/stress/", hypothetical.ClientStress.as_view(), name="clients-stress"),
    path("v1/calls/<int:id>/cure-options/", cure_api.CureOptions.as_view(), name="calls-cure-options"),
    path("v1/calls/<int:id>/passport/", passport_api.Passport.as_view(), name="calls-passport"),
    path("v1/registers/<slug:name>/", register_api.Registers.as_view(), name="registers"),
    *deeds,
    path("v1/", include(router.urls)),
    path("schema", SpectacularAPIView.as_view(**public), name="schema"),
    path("docs", SpectacularSwaggerSplitView.as_view(url_name="api:schema", **public), name="docs"),
    path("docs/", RedirectView.as_view(pattern_name="api:docs")),
    re_path(r"^(?P<rest>.*)$", problems.not_found, name="not-found"),
]
