"""The admin site: where the desk lives. Its lists and pages are in the rooms' `admin` modules and in `desk`."""

from typing import Any

from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, re_path
from unfold.sites import UnfoldAdminSite


class BackofficeAdminConfig(AdminConfig):
    default_site = "backoffice.site.DeskSite"


class DeskSite(UnfoldAdminSite):
    site_header = "Margin Desk"
    site_title = "Margin Desk"
    index_title = "What must I do now?"
    index_template = "desk/dashboard.html"
    enable_nav_sidebar = True

    def extra_urls(self) -> list[URLPattern]:
        from backoffice import approvals, audit, rebuilt, regulator, replays

        return [
            path("approvals/", self.admin_view(approvals.inbox), name="approvals"),
            path("audit/", self.admin_view(audit.overview), name="audit"),
            path("audit/verify/", self.admin_view(audit.verify), name="audit_verify"),
            path("audit/accounts/<str:code>/", self.admin_view(audit.account), name="audit_account"),
            path("audit/accounts/<str:code>/events.csv", self.admin_view(audit.export), name="audit_export"),
            path("audit/accounts/<str:code>/as-of/", self.admin_view(rebuilt.account), name="audit_as_of"),
            path("audit/calls/<int:call_id>/replay/", self.admin_view(replays.call), name="audit_replay"),
            path("audit/sweeps/<int:sweep_id>/replay/", self.admin_view(replays.sweep), name="audit_replay_sweep"),
            path("registers/", self.admin_view(regulator.register), name="registers"),
            path("registers/<slug:name>/", self.admin_view(regulator.register), name="register"),
            re_path(
                r"^registers/(?P<name>[a-z]+)\.(?P<form>csv|pdf)$",
                self.admin_view(regulator.download),
                name="register_file",
            ),
        ]

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """A page that refreshes itself after its login ended is reloaded whole, not filled with a login form."""
        if "HX-Request" in request.headers:
            return HttpResponse(headers={"HX-Refresh": "true"})
        return super().login(request, extra_context)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        from django.utils import timezone

        from backoffice import dashboard

        return super().index(request, {**(extra_context or {}), **dashboard.gather(request.user, at=timezone.now())})
