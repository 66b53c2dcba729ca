"""The admin site: where the desk lives."""

from django.contrib.admin.apps import AdminConfig
from unfold.sites import UnfoldAdminSite


class BackofficeAdminConfig(AdminConfig):
    default_site = "backoffice.site.DeskSite"


class DeskSite(UnfoldAdminSite):
    site_header = "Margin Desk"
    site_title = "Margin Desk"
    index_title = "What must I do now?"
