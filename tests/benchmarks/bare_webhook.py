"""The yardstick of the webhook endpoint: a view that verifies the signature and commits one insert.

A Django of its own with nothing else in it: no middleware, no parsing, one table. Served as
`tests.benchmarks.bare_webhook:application`.
"""

import hashlib
import hmac
import os
from datetime import UTC, datetime

import environ
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path

TOKEN = os.environ["SMARTCAR_MANAGEMENT_TOKEN"].encode()
TABLE = """CREATE TABLE IF NOT EXISTS bare_event (
    id bigserial PRIMARY KEY, event_id varchar(80) UNIQUE, body text, received_at timestamptz)"""
INSERT = """INSERT INTO bare_event (event_id, body, received_at) VALUES (%s, %s, %s)
    ON CONFLICT DO NOTHING"""

settings.configure(
    DATABASES={"default": environ.Env().db("DATABASE_URL") | {"CONN_MAX_AGE": 60}},
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    USE_TZ=True,
)


def receive(request: HttpRequest) -> HttpResponse:
    """Verify, insert, answer."""
    body = request.body
    signature = hmac.new(TOKEN, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(signature, request.headers.get("SC-Signature", "")):
        return HttpResponse(status=401)
    with connection.cursor() as cursor:
        cursor.execute(INSERT, [signature, body.decode(), datetime.now(UTC)])
    return HttpResponse()


urlpatterns = [path("webhooks/smartcar/", receive)]
application = get_wsgi_application()

with connection.cursor() as _cursor:
    _cursor.execute("SELECT pg_advisory_lock(1)")  # two workers create it at once
    _cursor.execute(TABLE)
    _cursor.execute("SELECT pg_advisory_unlock(1)")
connection.close()
