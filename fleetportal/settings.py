"""All settings, from the environment (or a `.env` file beside manage.py). See `.env.example`.

What belongs to the deployment is here; what an admin may change while the portal runs is the
one `PortalSettings` row.
"""

import base64
import hashlib
import math
import os
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from kombu import Queue

BASE_DIR = Path(__file__).resolve().parent.parent

_Number = TypeVar("_Number", int, float)

env = environ.Env()
# Tests and the demo bring an environment of their own and read no file.
_env_file = os.environ.get("FLEET_PORTAL_ENV_FILE", str(BASE_DIR / ".env"))
if _env_file and Path(_env_file).is_file():
    env.read_env(_env_file)


def _text(name: str, default: str = "") -> str:
    """As it is written: django-environ reads a secret that begins with $ as another one's name."""
    return os.environ.get(name, default)


def _required(name: str, hint: str) -> str:
    value = _text(name)
    if not value:
        raise ImproperlyConfigured(f"{name} is not set. {hint}")
    return value


def _more_than_zero(name: str, kind: type[_Number], default: _Number) -> _Number:
    text = _text(name)
    try:
        value: _Number = env.parse_value(text, kind) if text.strip() else default
    except ValueError:
        value = kind(0)
    if not (math.isfinite(value) and value > 0):
        what = "whole number" if kind is int else "number"
        raise ImproperlyConfigured(f"{name} must be a {what} greater than zero.")
    return value


def _split(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in _text(name, default).split(",") if part.strip()]


# --- Django -----------------------------------------------------------------------------------

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = (
    _text("SECRET_KEY", "only-for-debugging-never-for-a-real-portal")
    if DEBUG
    else _required("SECRET_KEY", "Set it to a long random text; DEBUG=True does without.")
)
SITE_URL = _text("SITE_URL", "http://localhost:8000").rstrip("/")
_site = urlsplit(SITE_URL)
if _site.scheme not in {"http", "https"} or not _site.hostname:
    raise ImproperlyConfigured("SITE_URL must be a full address such as https://fleet.example.com")
_is_https = _site.scheme == "https"
ALLOWED_HOSTS = _split("ALLOWED_HOSTS") or [_site.hostname, "localhost", "127.0.0.1", "[::1]"]
CSRF_TRUSTED_ORIGINS = [f"{_site.scheme}://{_site.netloc}"]

SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=_is_https)
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]  # machines ask beside the proxy
SESSION_COOKIE_SECURE = env.bool("SESSION_COOKIE_SECURE", default=_is_https)
CSRF_COOKIE_SECURE = env.bool("CSRF_COOKIE_SECURE", default=_is_https)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _is_https else None
SECURE_HSTS_SECONDS = 31_536_000 if _is_https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _is_https
SECURE_HSTS_PRELOAD = _is_https
# The address of a driver's page is a key, so no other site may learn it; but not "no-referrer":
# browsers then send `Origin: null` with forms, which the CSRF check refuses.
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
CSRF_COOKIE_HTTPONLY = True  # forms carry the token; no script of ours reads the cookie
SESSION_COOKIE_SAMESITE = "Lax"  # the redirect back from Connect must bring the session along
X_FRAME_OPTIONS = "DENY"

INSTALLED_APPS = [
    "fleetportal.apps.PortalAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "axes",
    "integrations.apps.IntegrationsConfig",
    "maintenance.apps.MaintenanceConfig",
    "fleetportal.apps.FleetPortalConfig",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "fleetportal.deliveries.DeliveriesMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "fleetportal.urls"
WSGI_APPLICATION = "fleetportal.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

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

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation." + name}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# After ten wrong passwords a name is refused for a quarter of an hour, from that address only: a
# stranger elsewhere locks nobody out. `client_address` says which address that is.
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "fleetportal.lockout.client_address"
AXES_LOCKOUT_CALLABLE = "fleetportal.lockout.refuse"
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # else one who keeps trying locks for ever
# Of each form and address as they were sent; the name too, where people type their password.
AXES_SENSITIVE_PARAMETERS = ["username", "csrfmiddlewaretoken", "next"]
AXES_DISABLE_ACCESS_LOG = True  # grows without end; failures are deleted once they are too old
AXES_ENABLE_ADMIN = False

LANGUAGE_CODE = "en-us"
TIME_ZONE = _text("TIME_ZONE", "UTC")
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "fleetportal" / "static"]
# Served straight from the apps: the site works right after `migrate`, without `collectstatic`.
WHITENOISE_USE_FINDERS = True

# --- Database ---------------------------------------------------------------------------------


def _database() -> dict[str, Any]:
    config: dict[str, Any] = env.db("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'db.sqlite3'}")
    config["CONN_MAX_AGE"] = 60
    if config["ENGINE"].endswith("sqlite3"):
        # Writers queue up instead of failing with "database is locked".
        config["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    else:
        config["CONN_HEALTH_CHECKS"] = True
    return config


DATABASES = {"default": _database()}

# --- Secrets at rest --------------------------------------------------------------------------

FIELD_ENCRYPTION_KEYS = _split("FIELD_ENCRYPTION_KEYS")
if not FIELD_ENCRYPTION_KEYS:
    if not DEBUG:
        _required(
            "FIELD_ENCRYPTION_KEYS",
            "Make one with: python -c 'from cryptography.fernet import Fernet;"
            " print(Fernet.generate_key().decode())'",
        )
    _digest = hashlib.sha256(b"field-encryption:" + SECRET_KEY.encode()).digest()
    FIELD_ENCRYPTION_KEYS = [base64.urlsafe_b64encode(_digest).decode()]

# --- Mail -------------------------------------------------------------------------------------

vars().update(env.email_url("EMAIL_URL", default="consolemail://"))
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = _text("DEFAULT_FROM_EMAIL", f"Fleet Portal <portal@{_site.hostname}>")
SERVER_EMAIL = DEFAULT_FROM_EMAIL
MAINTENANCE_EMAILS = _split("MAINTENANCE_EMAILS")
CHANNELS_ALLOW_PRIVATE = env.bool("CHANNELS_ALLOW_PRIVATE", default=False)

# --- Smartcar ---------------------------------------------------------------------------------

SMARTCAR_API_VERSION = _text("SMARTCAR_API_VERSION", "v3")
if SMARTCAR_API_VERSION not in {"v2", "v3"}:
    raise ImproperlyConfigured("SMARTCAR_API_VERSION must be v3 or v2.")
SMARTCAR_CLIENT_ID = _text("SMARTCAR_CLIENT_ID")
SMARTCAR_CLIENT_SECRET = _text("SMARTCAR_CLIENT_SECRET")
SMARTCAR_V3_CLIENT_ID = _text("SMARTCAR_V3_CLIENT_ID") or SMARTCAR_CLIENT_ID
SMARTCAR_V3_CLIENT_SECRET = _text("SMARTCAR_V3_CLIENT_SECRET") or SMARTCAR_CLIENT_SECRET
SMARTCAR_APPLICATION_ID = _text("SMARTCAR_APPLICATION_ID") or SMARTCAR_CLIENT_ID
SMARTCAR_WEBHOOK_ID = _text("SMARTCAR_WEBHOOK_ID")
SMARTCAR_REDIRECT_URI = _text("SMARTCAR_REDIRECT_URI") or (SITE_URL + "/connect/callback/")
SMARTCAR_MANAGEMENT_TOKENS = _split("SMARTCAR_MANAGEMENT_TOKEN")
SMARTCAR_MODE = _text("SMARTCAR_MODE", "live")
if SMARTCAR_MODE not in {"live", "simulated", "test"}:
    raise ImproperlyConfigured("SMARTCAR_MODE must be live, simulated or test.")
SMARTCAR_API_ORIGIN = _text("SMARTCAR_API_ORIGIN", "https://api.smartcar.com")
SMARTCAR_AUTH_ORIGIN = _text("SMARTCAR_AUTH_ORIGIN", "https://auth.smartcar.com/oauth/token")
SMARTCAR_CONNECT_ORIGIN = _text("SMARTCAR_CONNECT_ORIGIN", "https://connect.smartcar.com")
SMARTCAR_MANAGEMENT_API_ORIGIN = _text(
    "SMARTCAR_MANAGEMENT_API_ORIGIN", "https://management.smartcar.com"
)
SMARTCAR_VEHICLE_API_V3_ORIGIN = _text(
    "SMARTCAR_VEHICLE_API_V3_ORIGIN", "https://vehicle.api.smartcar.com"
)
SMARTCAR_IAM_ORIGIN = _text("SMARTCAR_IAM_ORIGIN", "https://iam.smartcar.com/oauth2/token")
SMARTCAR_MANAGEMENT_API_V3_ORIGIN = _text(
    "SMARTCAR_MANAGEMENT_API_V3_ORIGIN", "https://management.api.smartcar.com"
)
SMARTCAR_READ_TIMEOUT = _more_than_zero("SMARTCAR_READ_TIMEOUT", float, 65)
SMARTCAR_CALLS_PER_VEHICLE_MONTH = _more_than_zero("SMARTCAR_CALLS_PER_VEHICLE_MONTH", int, 500)
SMARTCAR_BUCKET_SIZE = _more_than_zero("SMARTCAR_BUCKET_SIZE", int, 120)
SMARTCAR_BUCKET_REFILL_PER_MINUTE = _more_than_zero("SMARTCAR_BUCKET_REFILL_PER_MINUTE", float, 2)

# --- Fleetio ----------------------------------------------------------------------------------

FLEETIO_API_TOKEN = _text("FLEETIO_API_TOKEN")
FLEETIO_ACCOUNT_TOKEN = _text("FLEETIO_ACCOUNT_TOKEN")
FLEETIO_BASE_URL = _text("FLEETIO_BASE_URL", "https://secure.fleetio.com/api").rstrip("/")
FLEETIO_REQUESTS_PER_MINUTE = _more_than_zero("FLEETIO_REQUESTS_PER_MINUTE", float, 18)
FLEETIO_WEBHOOK_KEYS = _split("FLEETIO_WEBHOOK_KEY")
# Verb and path; an empty one is not used. integrations.checks says when one cannot be read.
FLEETIO_CLOSE_ISSUE = _text("FLEETIO_CLOSE_ISSUE", "PATCH /issues/{id}/close")
FLEETIO_RESOLVE_ISSUE = _text("FLEETIO_RESOLVE_ISSUE", "PATCH /issues/{id}/resolve")
FLEETIO_REOPEN_ISSUE = _text("FLEETIO_REOPEN_ISSUE", "PATCH /issues/{id}/reopen")

# --- Content security policy ------------------------------------------------------------------

_connect = urlsplit(SMARTCAR_CONNECT_ORIGIN)
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        # The portal's button is a form whose answer redirects to Connect.
        "form-action": [SELF, f"{_connect.scheme}://{_connect.netloc}"],
    }
}

# --- Celery -----------------------------------------------------------------------------------

# Messages only wake workers; what is due stands in the database, so losing them loses nothing.
CELERY_BROKER_URL = _text("CELERY_BROKER_URL", "memory://")
CELERY_TIMEZONE = "UTC"
CELERY_DB_REUSE_MAX = 1_000_000  # CONN_MAX_AGE decides instead of a new connection for each task
# Workers take from both in turns, so that a thousand slow cars keep no token and no mail waiting.
CELERY_TASK_QUEUES = [Queue("celery"), Queue("polls")]
CELERY_TASK_ROUTES = {"integrations.tasks.poll_vehicle": {"queue": "polls"}}
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False  # what a killed worker leaves is found in the database
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False  # threads cannot be
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_max": 0.2}
CELERY_BEAT_SCHEDULER = "fleetportal.beat:Scheduler"
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {"polling_interval": 0.05}
    if CELERY_BROKER_URL.startswith("memory:")
    else {
        "visibility_timeout": 900,
        # Without these two, work of a killed worker comes back after about 100 seconds.
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": 30,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 25,
    }
)

# --- Logging ----------------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "fleetportal.logs.HideKeys",
            "format": "%(asctime)s %(levelname)s %(name)s: %(message)s",
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        # Through our one handler. Django's own would write links as they are, and mail whole
        # requests to ADMINS.
        "django": {"level": "INFO"},
        "django.server": {"level": "INFO", "propagate": True},
        # It warns on every start that memory:// names no host.
        "kombu.connection": {"level": "ERROR"},
        # At DEBUG it writes paths, and in those of a channel stands its token.
        "urllib3.connectionpool": {"level": "INFO"},
        "fleetportal": {"level": "INFO"},
        "integrations": {"level": "INFO"},
        "maintenance": {"level": "INFO"},
    },
}
