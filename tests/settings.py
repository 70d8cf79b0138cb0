"""The real settings under a fixed environment: no `.env` is read and nothing leaves the process."""

import base64
import os
import tempfile

_FERNET_KEY = base64.urlsafe_b64encode(b"a key for tests: protects naught").decode()

# What the shell or a `.env` says must not change a test, so these replace rather than default.
_ENVIRONMENT = {
    "FLEET_PORTAL_ENV_FILE": "",
    "SECRET_KEY": "a-fixed-key-for-tests-that-protects-nothing-at-all",
    "DEBUG": "False",
    "ALLOWED_HOSTS": "",
    "SITE_URL": "https://portal.example.com",
    "TIME_ZONE": "UTC",
    "SECURE_SSL_REDIRECT": "False",  # the test client and the live server speak plain HTTP
    "SESSION_COOKIE_SECURE": "True",
    "CSRF_COOKIE_SECURE": "True",
    "DATABASE_URL": os.environ.get("TEST_DATABASE_URL") or "sqlite://:memory:",
    "CELERY_BROKER_URL": "memory://",
    "EMAIL_URL": "memorymail://",
    "DEFAULT_FROM_EMAIL": "Fleet Portal <portal@example.com>",
    "MAINTENANCE_EMAILS": "maintenance@example.com",
    "CHANNELS_ALLOW_PRIVATE": "False",
    "FIELD_ENCRYPTION_KEYS": _FERNET_KEY,
    "SMARTCAR_API_VERSION": "v2",
    "SMARTCAR_CLIENT_ID": "test-client-id",
    "SMARTCAR_CLIENT_SECRET": "test-client-secret",
    "SMARTCAR_REDIRECT_URI": "https://portal.example.com/connect/callback/",
    "SMARTCAR_MANAGEMENT_TOKEN": "test-management-token",
    "FLEETIO_WEBHOOK_KEY": "test-fleetio-webhook-key",
    "SMARTCAR_MODE": "test",
    "FLEETIO_API_TOKEN": "test-api-token",
    "FLEETIO_ACCOUNT_TOKEN": "test-account-token",
}
for _name in list(os.environ):
    if _name.startswith(("SMARTCAR_", "FLEETIO_")):
        del os.environ[_name]
os.environ.update(_ENVIRONMENT)

from fleetportal.settings import *  # noqa: E402  the environment has to stand first

# A file, not memory: threads then meet the locks of the embedded size, as they do for real.
# The name is this process's, so that two runs in one checkout do not share it.
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["TEST"] = {
        "NAME": f"{tempfile.gettempdir()}/fleet-portal-test-{os.getpid()}.sqlite3",
    }
# A kept connection of a server thread would hold the test database when it is dropped.
DATABASES["default"]["CONN_MAX_AGE"] = 0

# The real hashers are slow on purpose.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
