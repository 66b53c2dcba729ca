"""Settings, read from the environment (and `.env`). `.env.example` explains every variable."""

import warnings
from pathlib import Path

import dj_database_url
import environ
import structlog

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env")

# --- what kind of house this is ---------------------------------------------------------------------
# "demo": bin/start's own house; "production": refuses to start on unsafe values (backoffice/checks.py).
ENVIRONMENT = env.str("MARGIN_ENVIRONMENT", default="demo")
DEBUG = env.bool("DEBUG", default=False)
DEMO_SECRET_KEY = "demo-only-key-that-production-refuses-to-start-with-0123456789"  # noqa: S105  known to all; refused in production
SECRET_KEY = env.str("SECRET_KEY", default=DEMO_SECRET_KEY)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
SITE_URL = env.str("SITE_URL", default="http://127.0.0.1:8000")

# --- the line to the browser ------------------------------------------------------------------------
IN_PRODUCTION = ENVIRONMENT == "production"
SECURE_SSL_REDIRECT = IN_PRODUCTION
SECURE_REDIRECT_EXEMPT = [r"^healthz", r"^readyz$", r"^metrics$"]  # asked by machines beside the house, in plain
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if IN_PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = IN_PRODUCTION
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IN_PRODUCTION
SESSION_COOKIE_NAME = "__Host-desk" if IN_PRODUCTION else "desk"
CSRF_COOKIE_NAME = "__Host-csrf" if IN_PRODUCTION else "csrf"
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_HTTPONLY = True  # the theme reads the token from the page, never from the cookie
SESSION_COOKIE_AGE = env.int("SESSION_HOURS", default=10) * 3600
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
if env.bool("BEHIND_TLS_PROXY", default=False):  # the proxy must set or strip this header itself
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")

# --- applications -----------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # leaves the site to us: backoffice.site.DeskSite
    "backoffice.site.BackofficeAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "axes",
    "anymail",
    "django_celery_beat",
    "django_filters",
    "django_prometheus",
    "django_structlog",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "pgtrigger",
    "pghistory",
    "rest_framework",
    "market",
    "accounts",
    "margin",
    "notifications",
    "backoffice",
]
MIDDLEWARE = [
    "backoffice.headers.security_headers",
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "backoffice.sessions.idle_logout",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "pghistory.middleware.HistoryMiddleware",
    "axes.middleware.AxesMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
ROOT_URLCONF = "backoffice.urls"
WSGI_APPLICATION = "backoffice.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- PostgreSQL, the only database ------------------------------------------------------------------
# Processes connect as the application role (DATABASE_URL); migrations as the owner (DATABASE_OWNER_URL,
# used by bin/start and `DATABASE_URL=$DATABASE_OWNER_URL manage.py migrate`).
DATABASES = {
    "default": dj_database_url.parse(
        env.str("DATABASE_URL", default="postgresql:///margin_desk"),
        conn_max_age=env.int("CONN_MAX_AGE", default=60),
        conn_health_checks=True,
    )
}
DATABASES["default"]["ENGINE"] = "django.db.backends.postgresql"
# A name in the role catalogue that migrations grant to; missing means one-role mode (margin.W001).
DATABASE_APPLICATION_ROLE = env.str("DATABASE_APPLICATION_ROLE", default="margin_app")
DATABASES["default"].setdefault("OPTIONS", {}).update(
    {
        "options": "-c timezone=UTC -c lock_timeout=5s -c idle_in_transaction_session_timeout=15s",
        "connect_timeout": 5,
        "application_name": env.str("PROCESS_NAME", default="margin_desk"),
    }
)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- what proves the history, kept outside the database ------------------------------------------------
HOME = Path(env.str("MARGIN_HOME", default=str(BASE_DIR / ".local")))
HISTORY_KEYS = env.str("HISTORY_KEYS", default="" if IN_PRODUCTION else str(HOME / "keys"))
HISTORY_ANCHOR_FILE = env.str("HISTORY_ANCHOR_FILE", default="" if IN_PRODUCTION else str(HOME / "anchors.txt"))
AUDITORS_EMAIL = env.list("AUDITORS_EMAIL", default=["auditors@margin-desk.example"])

# --- logs: one line an event, JSON in production ------------------------------------------------------
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
LOG_STAMPS: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "structlog.stdlib.ProcessorFormatter",
            "processor": structlog.processors.JSONRenderer()
            if IN_PRODUCTION
            else structlog.dev.ConsoleRenderer(colors=False),
            "foreign_pre_chain": LOG_STAMPS,
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {"django.server": {"handlers": ["console"], "propagate": False}},
}
structlog.configure(
    processors=[structlog.stdlib.filter_by_level, *LOG_STAMPS, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)

# --- people -----------------------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 15}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
AXES_FAILURE_LIMIT = env.int("LOGIN_FAILURE_LIMIT", default=5)
AXES_COOLOFF_TIME = env.float("LOGIN_LOCKOUT_HOURS", default=0.25)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_VERBOSE = False  # no banner in every command
AXES_HTTP_RESPONSE_CODE = 429

# --- language and time ------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
TIME_ZONE = env.str("DESK_TIME_ZONE", default="America/New_York")
USE_I18N = True
USE_TZ = True

# --- static files -----------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = ENVIRONMENT == "demo"
if WHITENOISE_USE_FINDERS:  # files are served from where they lie; nobody misses the collected copy
    warnings.filterwarnings("ignore", message="No directory at: ")

# --- Celery: the clock, retry and isolation; the truth is in PostgreSQL ------------------------------
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", default="redis://127.0.0.1:6379/0")
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SOFT_TIME_LIMIT = 50
CELERY_TASK_TIME_LIMIT = 60
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 600,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_timeout": 3,
    "socket_connect_timeout": 3,
    "socket_keepalive": True,
}
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

# --- mail -------------------------------------------------------------------------------------------
EMAIL_BACKEND = env.str("EMAIL_BACKEND", default="django.core.mail.backends.smtp.EmailBackend")
EMAIL_HOST = env.str("EMAIL_HOST", default="127.0.0.1")
EMAIL_PORT = env.int("EMAIL_PORT", default=1025)
EMAIL_HOST_USER = env.str("EMAIL_HOST_USER", default="")
EMAIL_HOST_PASSWORD = env.str("EMAIL_HOST_PASSWORD", default="")
EMAIL_USE_TLS = env.bool("EMAIL_USE_TLS", default=False)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Margin Desk <margin@margin-desk.example>")
OPERATIONS_EMAIL = env.list("OPERATIONS_EMAIL", default=["operations@margin-desk.example"])
ANYMAIL = env.json("ANYMAIL", default={})

# --- venues: how orders leave (margin/venues/registry.py, docs/venues.md) -------------------------------
VENUES = env.json("VENUES", default={})

# --- API --------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["backoffice.keys.KeyAuthentication", "backoffice.keys.StaffSession"],
    "DEFAULT_PERMISSION_CLASSES": ["backoffice.keys.Allowed"],
    "DEFAULT_PARSER_CLASSES": ["backoffice.api.parsing.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "backoffice.api.lists.Pages",
    "DEFAULT_FILTER_BACKENDS": ["backoffice.api.lists.Filters", "backoffice.api.lists.Ordering"],
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "backoffice.api.schema.Schema",
    "EXCEPTION_HANDLER": "backoffice.api.problems.respond",
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Margin Desk",
    "DESCRIPTION": "Read everything; write quotes, positions, fills, cash; act on calls. See docs/api.md.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1/",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "NoticeStateEnum": "notifications.models.Notice.State",
        "PlanStateEnum": "margin.models.Plan.State",
        "RequestStateEnum": "margin.models.Request.State",
        "RequestKindEnum": "margin.models.Request.Kind",
        "DisputeStateEnum": "margin.models.Dispute.State",
        "CureStateEnum": "margin.models.Cure.State",
        "CureKindEnum": "margin.models.Cure.Kind",
        "SweepStateEnum": "margin.models.Sweep.State",
        "InstrumentKindEnum": "market.models.Kind",
        "ParameterSetKindEnum": "market.models.ParameterSet.Kind",
    },
}

# --- the firm ---------------------------------------------------------------------------------------
FIRM_NAME = env.str("FIRM_NAME", default="Margin Desk Demonstration House")
# Printed on every notice to a client.
FIRM_ADDRESS = env.str("FIRM_ADDRESS", default="1 Demonstration Square, New York, NY")
FIRM_EMAIL = env.str("FIRM_EMAIL", default="margin@margin-desk.example")
FIRM_PHONE = env.str("FIRM_PHONE", default="+1 212 555 0100")
FIRM_HOURS = env.str("FIRM_HOURS", default="Monday to Friday, 08:00 to 18:00 New York time")

# --- the desk ---------------------------------------------------------------------------------------
SESSION_IDLE_SECONDS = env.int("SESSION_IDLE_MINUTES", default=30) * 60
SESSION_LONGEST_SECONDS = SESSION_COOKIE_AGE
AXES_LOCKOUT_TEMPLATE = "desk/locked.html"
from backoffice.navigation import UNFOLD  # noqa: E402, F401, I001 - the admin's look and sidebar

# --- change history of reference data (call history is margin.Event, not this) -------------------------
import pghistory  # noqa: E402 - needs nothing above; kept beside what it configures

PGHISTORY_OBJ_FIELD = pghistory.ObjForeignKey(related_name="changes")
PGHISTORY_APPEND_ONLY = True
