"""The six roles as groups, and what each may see and do. Written into the database by a migration.

A duty is one of Django's own permissions, read as an act (`DUTIES`); what moves a call is decided by the door itself
(`margin.calls.MAY`). Two-person rules live in the domain functions and in the database, never here alone.
"""

from typing import Any

ROLES = ("Operations", "Supervisor", "Risk", "Compliance", "Auditor", "Administrator")

# What desk, risk and audit read: every row of the four rooms.
ROOMS = {
    "market": "calendar session daychange settlementcycle instrument instrumentchange alias quotefact quote heldquote"
    " close fxrate rate parameterset corporateaction",
    "accounts": "client clientchange contact contactchange account accountchange revision position positionfact fill"
    " cashmovement adjustment bookload document documentreceipt",
    "margin": "policy policyversion sweep shard sweepprice assessment measure charge chargelist wording chain event"
    " warning margincall cure plan planline approval planfill receivable alarm smaentry restriction strike waiver"
    " request dispute task stormgate reconciliation seal sweepdigest systemepoch release order orderreport"
    " killswitch liquidationcap standingapproval rightschange legalhold erasure wallclock",
    "notifications": "notice attempt delivery horizon",
}

# How the house itself runs: read by Compliance and Auditor as well.
HOUSE = {
    "auth": "user group",
    "backoffice": "apikey",
    "axes": "accessattempt accesslog accessfailurelog",
    "django_celery_beat": "periodictask intervalschedule crontabschedule",
}

# permission → (what it lets one do, by whom)
DUTIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "market.change_heldquote": ("confirm or reject a quote in quarantine", ("Operations", "Supervisor", "Risk")),
    "market.add_corporateaction": ("enter a corporate action", ("Operations", "Supervisor")),
    "market.change_corporateaction": ("approve a corporate action", ("Risk",)),
    "margin.add_policyversion": ("publish a policy version", ("Risk",)),
    "margin.change_policyversion": ("approve a policy version", ("Risk",)),
    "margin.add_plan": ("propose a liquidation", ("Operations", "Supervisor")),
    "margin.change_plan": ("approve or reject a liquidation plan", ("Supervisor", "Risk")),
    "margin.add_planfill": ("record a fill of a liquidation plan", ("Operations", "Supervisor")),
    "margin.add_restriction": ("place a restriction", ("Supervisor", "Risk", "Compliance")),
    "margin.change_restriction": ("lift a short restriction of a person", ("Supervisor", "Risk", "Compliance")),
    "margin.add_waiver": ("propose a waiver", ("Supervisor", "Compliance")),
    "margin.change_waiver": ("grant or deny a waiver that another proposed", ("Supervisor", "Compliance")),
    "notifications.change_notice": ("send a failed notice again", ("Operations", "Supervisor")),
}

ADMINISTRATION = (
    *("auth.add_user", "auth.change_user", "backoffice.add_apikey", "backoffice.change_apikey"),
    "axes.delete_accessattempt",
    *(f"django_celery_beat.{act}_periodictask" for act in ("add", "change", "delete")),
    *(f"django_celery_beat.{act}_intervalschedule" for act in ("add", "change", "delete")),
    *(f"django_celery_beat.{act}_crontabschedule" for act in ("add", "change", "delete")),
)


def views(tables: dict[str, str]) -> frozenset[str]:
    return frozenset(f"{room}.view_{table}" for room, names in tables.items() for table in names.split())


def permissions(role: str) -> frozenset[str]:
    """All permissions of a role, as "app.codename"."""
    if role == "Administrator":
        return views(HOUSE) | frozenset(ADMINISTRATION)
    duties = frozenset(duty for duty, (_, roles) in DUTIES.items() if role in roles)
    house = views(HOUSE) if role in ("Compliance", "Auditor") else frozenset()
    return views(ROOMS) | house | duties


def grant(apps: Any) -> None:
    """Make the six groups hold exactly what `permissions` says. For migrations; safe to run again.

    Django writes its permission rows only after all migrations, so the missing ones are written here.
    """
    Group = apps.get_model("auth", "Group")
    for role in ROLES:
        group, _ = Group.objects.get_or_create(name=role)
        group.permissions.set([permission(apps, name) for name in sorted(permissions(role))])


def permission(apps: Any, name: str) -> Any:
    label, codename = name.split(".")
    model = codename.split("_", 1)[1]
    content_type, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(app_label=label, model=model)
    found, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=content_type, codename=codename, defaults={"name": f"Can {codename.replace('_', ' ')}"}
    )
    return found
