"""No secret in clear anywhere that people, logs, backups or brokers see."""

import logging
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from smtplib import SMTPDataError
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from cryptography.fernet import Fernet
from django.contrib import admin
from django.contrib.auth.models import User
from django.core import mail
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.core.management.base import CommandError
from django.db import connection
from django.http import HttpResponseBase
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from integrations import tasks as integrations_tasks
from integrations.models import (
    Activity,
    Connection,
    ConnectLink,
    Driver,
    OAuthToken,
    OutboxEntry,
    ProviderGate,
    Vehicle,
)
from integrations.sandbox import FOREVER, Fault, Sandbox
from integrations.sandbox.faults import dropped_before
from integrations.services import connect_links, link_mails
from integrations.signals import readings_recorded
from maintenance import tasks as maintenance_tasks
from maintenance.models import Alert
from tests.factories import make_user
from tests.leaks import PART, Seen, disguises, everything_stored, leaks, listening, overhearing
from tests.maintenance.cars import add_default_rules
from tests.portal import CSRF, HOURS, connect_driver, run, sandbox_for

pytestmark = pytest.mark.django_db

CALLBACK = "/connect/callback/"
PASSWORD = "the-password-of-an-admin"
SITE = {"referer": "https://portal.example.com/"}


@pytest.fixture
def logged() -> Iterator[Seen]:
    with listening() as seen:
        yield seen


@pytest.fixture
def published() -> Iterator[list[Any]]:
    with overhearing() as messages:
        yield messages


@pytest.fixture
def sandbox(settings: Settings) -> Iterator[Sandbox]:
    add_default_rules()
    settings.SMARTCAR_CALLS_PER_VEHICLE_MONTH = 100_000
    with sandbox_for(settings, vehicles=4) as running:
        yield running


class QuotingMail(BaseEmailBackend):
    """A mail server that refuses a mail and quotes it."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        raise SMTPDataError(554, str(email_messages[0].body).encode())


class BrokenMail(BaseEmailBackend):
    """Something of ours that breaks over a mail and quotes it."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        raise RuntimeError(f"broken over the mail {email_messages[0].body}")


class Story:
    """A portal in use, and every secret that it came across.

    `keys` may be seen nowhere at all; `links` open a page of a driver, whose mail and whose own
    pages show them.
    """

    def __init__(self, sandbox: Sandbox, settings: Settings) -> None:
        self.sandbox, self.settings = sandbox, settings
        self.keys: dict[str, str] = {"password": PASSWORD}
        self.links: dict[str, str] = {}
        self.said: list[str] = []
        self.browser = Client(enforce_csrf_checks=True, raise_request_exception=False)
        self.pages: list[HttpResponseBase] = []
        self.note()

    def note(self) -> None:
        """Write down each secret that is in use now."""
        portal = self.settings
        self.keys |= {
            "client secret": portal.SMARTCAR_CLIENT_SECRET,
            "Fleetio key": portal.FLEETIO_API_TOKEN,
            "Fleetio account token": portal.FLEETIO_ACCOUNT_TOKEN,
            "management token": portal.SMARTCAR_MANAGEMENT_TOKENS[0],
            "Fleetio's webhook key": portal.FLEETIO_WEBHOOK_KEYS[0],
            "secret key": portal.SECRET_KEY,
        }
        for number, key in enumerate(portal.FIELD_ENCRYPTION_KEYS):
            self.keys[f"encryption key {number} of {len(portal.FIELD_ENCRYPTION_KEYS)}"] = key
        for token in OAuthToken.objects.exclude(refresh_token=""):
            self.keys[f"access token {token.pk}.{token.version}"] = str(token.access_token)
            self.keys[f"refresh token {token.pk}.{token.version}"] = str(token.refresh_token)
        for link in ConnectLink.objects.all():
            self.links[f"link {link.pk}"] = _last_part(connect_links.path(link))
            self.links[f"signature of link {link.pk}"] = connect_links.token(link).split(".")[1]
        for driver in Driver.objects.all():
            path = connect_links.driver_path(driver)
            self.links[f"page of driver {driver.pk}"] = _last_part(path)
            self.links[f"signature of driver {driver.pk}"] = path.strip("/").split(".")[1]

    def calm(self) -> OAuthToken:
        """Take back all waiting that earlier failures led to; returns the pair in use."""
        OAuthToken.objects.update(next_attempt_at=None, failures=0)
        Vehicle.objects.update(not_before=None)
        ProviderGate.objects.all().delete()
        return OAuthToken.objects.exclude(refresh_token="").latest("pk")

    def command(self, line: str) -> None:
        """Run a command, which may fail: a provider stumbled, as it was told to."""
        try:
            self.said.append(run(*line.split()))
        except SystemExit as exc:
            assert exc.code == 1  # noqa: PT017
        except CommandError as exc:
            self.said.append(str(exc))

    def get(self, address: str, **extra: Any) -> Any:
        self.pages.append(self.browser.get(address, secure=True, **extra))
        return self.pages[-1]

    def post(self, address: str, fields: dict[str, Any], *, genuine: bool = True) -> Any:
        if genuine and (field := CSRF.search(self.get(address).content.decode())):
            fields = {"csrfmiddlewaretoken": field[1], **fields}
        self.pages.append(self.browser.post(address, fields, secure=True, headers=SITE))
        return self.pages[-1]

    def go_to_connect(self, link: ConnectLink) -> str:
        """Press the button; returns where the driver is sent."""
        away = str(self.post(connect_links.path(link), {})["Location"])
        name = f"state {len(self.pages)}"
        self.keys[name] = parse_qs(urlsplit(away).query)["state"][0]
        self.note()
        return away

    def come_back(self, address: str) -> Any:
        parts = urlsplit(address)
        if code := parse_qs(parts.query).get("code"):
            self.keys[f"code {len(self.pages)}"] = code[0]
        answer = self.get(f"{parts.path}?{parts.query}")
        self.note()
        return answer


def _last_part(path: str) -> str:
    return path.strip("/").split("/")[-1]


def new_link(story: Story) -> ConnectLink:
    someone, now = story.sandbox.fleet.drivers[0], datetime.now(UTC)
    driver = connect_links.invite(email=someone.email, name=someone.name, now=now)
    return connect_links.create(driver, now=now)


# --- The chapters ------------------------------------------------------------------------------


def connect(story: Story) -> None:
    """Through the pages, with every way to fail on the way."""
    smartcar, link = story.sandbox.smartcar, new_link(story)
    path = connect_links.path(link)
    story.come_back(smartcar.connect.refuse(story.go_to_connect(link)))
    story.come_back(CALLBACK + "?state=somebody-elses-state&code=a-code-that-was-stolen")
    story.keys["stolen code"] = "a-code-that-was-stolen"
    story.keys["foreign state"] = "somebody-elses-state"
    for status, word in ((400, "invalid_grant"), (401, "invalid_client"), (500, "server_error")):
        back = smartcar.connect.approve(story.go_to_connect(link))
        code = parse_qs(urlsplit(back).query)["code"][0]
        secret = story.settings.SMARTCAR_CLIENT_SECRET
        body = {"error": word, "error_description": f"Invalid code: {code}, client {secret}"}
        smartcar.faults.add(Fault(path="/oauth/token", status=status, body=body))
        assert story.come_back(back).status_code in {400, 502}
    assert not OAuthToken.objects.exists()
    waiting = story.go_to_connect(link)  # a state that nobody has come back with yet
    story.settings.SMARTCAR_MODE = "nonsense"
    assert story.get(path).status_code == 500
    story.settings.SMARTCAR_MODE = "live"
    assert story.post(path, {}, genuine=False).status_code == 403
    assert story.get(path + ")").status_code == 404
    assert story.get(path, headers={"host": "evil.example.net"}).status_code == 400
    assert story.get(path.rstrip("/")).status_code == 301
    assert story.browser.put(path, secure=True).status_code in {403, 405}
    answer = story.come_back(smartcar.connect.approve(waiting))
    assert "Your 4 cars are connected" in answer.content.decode()
    assert story.get(path).status_code == 410
    story.go_to_connect(new_link(story))


def read_cars(story: Story) -> None:
    twin = story.sandbox.fleet.cars[0]
    start = datetime.now(UTC) - 25 * HOURS
    for step in range(3):
        for car in story.sandbox.fleet.cars:
            car.report(start + step * 12 * HOURS, odometer_km=car.odometer_km + 10)
        twin.oil_life = 0.14
        story.command("poll --all")
    story.command("refresh_tokens --all")
    story.note()


def stumble_at_tokens(story: Story) -> None:
    """The token endpoint echoes what it was sent, in every shape."""
    smartcar, secret = story.sandbox.smartcar, story.settings.SMARTCAR_CLIENT_SECRET
    basic = b64encode(f"{story.settings.SMARTCAR_CLIENT_ID}:{secret}".encode()).decode()
    refresh = story.calm().refresh_token
    echo = f"Authorization: Basic {basic} grant refresh_token={refresh}"
    shapes: list[dict[str, Any]] = [
        {"status": 400, "body": {"error": "invalid_request", "error_description": echo}},
        {"status": 400, "body": {"error": refresh, "error_description": secret}},
        {"status": 400, "body": {"error": {"refresh_token": refresh}}},
        {"status": 502, "body": f"<html>{echo}</html>", "content_type": "text/html"},
        {"status": 200, "body": {"access_token": refresh, "note": echo}},
        {"status": 302, "body": "", "headers": {"Location": f"http://127.0.0.1:9/?{echo}"}},
        {"status": 401, "body": {"error": "invalid_client", "error_description": echo}},
    ]
    for shape in shapes:
        assert story.calm().refresh_token == refresh
        fault = smartcar.faults.add(Fault(path="/oauth/token", **shape))
        story.command("refresh_tokens --all")
        assert smartcar.faults.committed(fault)
    story.command("doctor")
    story.calm()
    smartcar.faults.add(dropped_before(path="/oauth/token"))
    story.command("refresh_tokens --all")
    story.calm()
    story.command("refresh_tokens --all")
    story.note()


def stumble_at_reads(story: Story) -> None:
    smartcar, access = story.sandbox.smartcar, story.calm().access_token
    echo = f"The token {access} of Authorization: Bearer {access} is not liked"
    long_echo = "x" * 270 + f" Bearer {access}"

    def refuse_items(batch: Any) -> Any:
        bodies = [
            {"type": "SERVER", "code": None, "description": echo},
            {"type": "UPSTREAM", "code": "X", "suggestedUserMessage": long_echo},
            {"type": access, "code": access, "description": access},
        ]
        for number, item in enumerate(batch["responses"]):
            item |= {"code": 500, "body": bodies[number % 3], "headers": None}
        return batch

    shapes: list[dict[str, Any]] = [
        {"alter": refuse_items},
        {"status": 500, "body": {"type": "SERVER", "code": access, "description": echo}},
        {"status": 403, "body": f"<html>{echo}</html>", "content_type": "text/html"},
        {"status": 409, "body": {"type": "VEHICLE_STATE", "code": "ASLEEP", "description": echo}},
        {"drop": True},
        {"delay": 0.6},
    ]
    story.settings.SMARTCAR_READ_TIMEOUT = 0.3
    for shape in shapes:
        assert story.calm().access_token == access
        fault = smartcar.faults.add(Fault(pattern="/batch$", times=FOREVER, **shape))
        story.command("poll --all")
        smartcar.faults.remove(fault)
        assert smartcar.faults.committed(fault)
    story.settings.SMARTCAR_READ_TIMEOUT = 30
    story.calm()
    smartcar.faults.add(
        Fault(pattern="/batch$", status=401, body={"type": "AUTHENTICATION", "description": echo})
    )
    story.command("poll --all")
    story.note()


def break_while_a_token_is_in_hand(story: Story) -> None:
    def burst(**kwargs: Any) -> None:
        raise RuntimeError("burst in the middle")

    story.calm()
    readings_recorded.connect(burst)
    try:
        for car in story.sandbox.fleet.cars:
            car.report(datetime.now(UTC), odometer_km=car.odometer_km + 10)
        asked = datetime.now(UTC).isoformat()
        result = integrations_tasks.poll_vehicle.apply(args=(Vehicle.objects.all()[0].pk, asked))
    finally:
        readings_recorded.disconnect(burst)
    story.said.append(f"{result.result!r} {result.traceback}")
    with suppress(RuntimeError):
        result.get()


def stumble_at_fleetio(story: Story) -> None:
    fleetio, portal = story.sandbox.fleetio, story.settings
    echo = f"Token {portal.FLEETIO_API_TOKEN} of account {portal.FLEETIO_ACCOUNT_TOKEN}"
    story.command("sync_fleetio")
    shapes: list[dict[str, Any]] = [
        {"status": 422, "body": {"error": echo}},
        {"status": 422, "body": {"errors": [{"title": echo}]}},
        {"status": 400, "body": echo, "content_type": "text/plain"},
        {"status": 500, "body": f"<html>{echo}</html>", "content_type": "text/html"},
        {"status": 422, "body": {"errors": {"base": [echo], echo: echo}}},
    ]
    for shape in shapes:
        OutboxEntry.objects.filter(lane="fleetio").update(
            state="pending", attempts=0, next_attempt_at=datetime.now(UTC), started_at=None
        )
        fault = fleetio.faults.add(Fault(method="POST", path="/api/", times=FOREVER, **shape))
        story.command("deliver")
        fleetio.faults.remove(fault)
        assert fleetio.faults.committed(fault)
        story.said.append(repr(list(OutboxEntry.objects.values_list("last_error", flat=True))))
    fleetio.faults.add(Fault(path="/api/vehicles", status=401, body={"error": echo}))
    story.command("sync_fleetio")
    story.command("doctor")
    assert OutboxEntry.objects.filter(lane="fleetio").exclude(last_error="").exists()


def mail_links(story: Story) -> None:
    """First to a server that quotes and to a client that breaks, then for real."""
    now, driver = datetime.now(UTC), Driver.objects.get()
    entry = link_mails.send(connect_links.create(driver, now=now), now=now)
    working = story.settings.EMAIL_BACKEND
    for name, error in (("QuotingMail", "SMTPDataError"), ("BrokenMail", "RuntimeError")):
        story.settings.EMAIL_BACKEND = f"tests.test_secrets.{name}"
        OutboxEntry.objects.filter(lane="mail").update(next_attempt_at=now)
        story.command("deliver")
        entry.refresh_from_db()
        assert error in entry.last_error
        story.said.append(entry.last_error)
    story.settings.EMAIL_BACKEND = working
    OutboxEntry.objects.filter(lane="mail").update(next_attempt_at=now)
    story.command("deliver")
    entry.refresh_from_db()
    assert entry.state == "done"
    story.note()


def log_in_badly(story: Story) -> None:
    for _ in range(11):
        form = {"username": "admin", "password": PASSWORD, "next": "/admin/"}
        answer = story.post("/admin/login/", form)
    assert answer.status_code == 429


def wake_workers(story: Story) -> None:
    for module in (integrations_tasks, maintenance_tasks):
        for task in vars(module).values():
            if hasattr(task, "delay") and task.name.startswith(module.__name__):
                args = [1] if task.name.endswith("poll_vehicle") else []
                task.delay(*args)
    Vehicle.objects.update(next_poll_at=datetime.now(UTC))
    assert integrations_tasks.poll_due_vehicles()


def withdraw(story: Story) -> None:
    """While Smartcar will not hear of it; then what is left of the pages."""
    story.calm()
    driver, shared = Driver.objects.get(), Connection.objects.get()
    home = connect_links.driver_path(driver)
    access = OAuthToken.objects.get().access_token
    story.sandbox.smartcar.faults.add(
        Fault(
            pattern="/application$",
            status=400,
            times=FOREVER,
            body={"type": "VALIDATION", "code": None, "description": f"Bearer {access}"},
        )
    )
    assert story.post(home, {"action": "nonsense"}).status_code == 400
    assert story.post(home, {"action": "withdraw"}, genuine=False).status_code == 403
    answer = story.post(home, {"action": "withdraw", "connection": shared.pk})
    assert "You no longer share this" in answer.content.decode()
    Driver.objects.update(is_active=False)
    assert story.post(home, {"action": "reconnect"}).status_code in {403, 410}
    Driver.objects.update(is_active=True)


def rotate(story: Story) -> None:
    older = story.settings.FIELD_ENCRYPTION_KEYS
    story.settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *older]
    story.command("rotate_encryption_key")
    story.note()


def test_no_secret_is_stored_logged_sent_or_shown_in_clear(
    sandbox: Sandbox, settings: Settings, logged: Seen, published: list[Any], admin_user: User
) -> None:
    story = Story(sandbox, settings)
    connect(story)
    read_cars(story)
    rotate(story)
    stumble_at_tokens(story)
    stumble_at_reads(story)
    break_while_a_token_is_in_hand(story)
    stumble_at_fleetio(story)
    mail_links(story)
    log_in_badly(story)
    wake_workers(story)
    withdraw(story)

    assert_it_all_happened(story, logged, published)
    found = leaks(story.keys, shown(story, admin_user))
    found += leaks(story.keys | story.links, written(story, logged, published))
    found += leaks(story.keys, {"log records": logged.carried})
    assert not found, "\n".join(found)


def assert_it_all_happened(story: Story, logged: Seen, published: list[Any]) -> None:
    """What we look for, and where we look, are there."""
    names = [re.sub(r" [\d.]+( of \d)?$", "", name) for name in story.keys]
    assert names.count("access token") >= 4
    assert names.count("code") >= 4
    assert names.count("state") >= 6
    assert names.count("encryption key") == 3
    assert all(len(secret) > 8 for secret in (story.keys | story.links).values())
    for sign in ("urllib3", "/oauth/token", "burst in the middle", "broken over the mail", "CSRF"):
        assert sign in logged.text, sign
    for page in ("Not Found", "Gone", "Bad Request", "Internal Server Error", "Too Many Requests"):
        assert f"{page}: " in logged.text, page
    assert Alert.objects.filter(status="open").exists()
    assert OutboxEntry.objects.filter(state="dead").exists()
    assert Activity.objects.filter(what__startswith="Smartcar could not be told").exists()
    assert len(published) > 10


def written(story: Story, logged: Seen, published: list[Any]) -> dict[str, str]:
    """Where neither a key nor a link may stand. A mail has its link in the body alone."""
    return {
        "log": logged.text,
        "broker": repr(published),
        "what commands said": "\n".join(story.said),
        "heads of mails": repr([(m.subject, m.to, m.message().items()) for m in mail.outbox]),
        **everything_stored(),
    }


def shown(story: Story, admin_user: User) -> dict[str, str]:
    """Where links are shown to those whom they are for."""
    bodies = [str(part) for m in mail.outbox for part in (m.body, *getattr(m, "alternatives", []))]
    assert any(_last_part(path) in "".join(bodies) for path in story.links.values())
    return {
        "mails": "\n".join(bodies),
        "pages": "\n".join(getattr(page, "content", b"").decode() for page in story.pages),
        "admin": shown_in_admin(admin_user),
    }


def shown_in_admin(admin_user: User) -> str:
    """The list and each change page of each model."""
    browser = Client()
    browser.force_login(admin_user)
    pages = []
    for model in admin.site._registry:
        base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        pages.append(browser.get(reverse(f"{base}_changelist"), secure=True, follow=True))
        for row in model._default_manager.order_by("-pk")[:5]:
            address = reverse(f"{base}_change", args=[row.pk])
            pages.append(browser.get(address, secure=True, follow=True))
    assert len(pages) > 20
    assert all(page.status_code in {200, 403} for page in pages)
    return "\n".join(page.content.decode() for page in pages)


# --- One by one --------------------------------------------------------------------------------


def test_a_link_reaches_the_driver_and_is_kept_nowhere(sandbox: Sandbox, logged: Seen) -> None:
    now = datetime.now(UTC)
    driver = connect_links.invite(email="d@example.com", name="D", now=now)
    link = connect_links.create(driver, now=now, user=make_user())
    link_mails.send(link, now=now)
    run("deliver")
    path = urlsplit(connect_links.path(link)).path
    token = _last_part(path)
    hidden = {"link": token, "signature": token.rpartition(".")[2]}

    assert path in str(mail.outbox[0].body)
    assert Client().get(path, secure=True).status_code == 200
    stored = everything_stored()
    assert driver.nonce in stored["integrations_driver"]  # so we do look
    assert leaks(hidden, {"log": logged.text, **stored}) == []


def test_a_page_that_fails_is_logged_without_its_address(
    sandbox: Sandbox, settings: Settings, logged: Seen
) -> None:
    story = Story(sandbox, settings)
    path = connect_links.path(new_link(story))
    story.browser.get(path.rstrip("/") + "/more/", secure=True)
    story.browser.post(path, secure=True)
    story.browser.get(CALLBACK + "?state=a-foreign-state&code=a-stolen-code", secure=True)
    secrets = {"link": _last_part(path), "state": "a-foreign-state", "code": "a-stolen-code"}

    assert "Not Found: /connect/(hidden)/more/" in logged.text
    assert ": /connect/(hidden)/" in logged.text
    assert "Bad Request: /connect/callback/" in logged.text
    assert leaks(secrets, {"log": logged.text}) == []


def test_every_log_goes_through_the_handler_that_hides_links() -> None:
    loggers = [logging.getLogger(name) for name in logging.Logger.manager.loggerDict]
    own = {h for h in logging.getLogger().handlers if h.get_name() == "console"}
    written = {h for logger in loggers for h in logger.handlers}

    assert len(own) == 1
    assert {type(h).__name__ for h in written - own} <= {"NullHandler", "LogCaptureHandler"}


def test_tokens_are_stored_encrypted_and_open_again(sandbox: Sandbox) -> None:
    connect_driver(sandbox)
    token = OAuthToken.objects.get()
    with connection.cursor() as cursor:
        cursor.execute("SELECT access_token, refresh_token FROM integrations_oauthtoken")
        (access, refresh) = cursor.fetchone()

    assert access.startswith("gAAAA")
    assert refresh.startswith("gAAAA")
    assert access != token.access_token
    assert repr(token).count(str(token.access_token)) == 0


SECRET = "a/secret+with\"quotes'=and 33 letters"


@pytest.mark.parametrize(
    "text",
    [
        f"token {SECRET}.",
        f"/x/?token={quote(SECRET, safe='')}",
        repr({"t": SECRET}),
        b64encode(f"user:{SECRET}".encode()).decode(),
        b64encode(f"us:{SECRET}.".encode()).decode(),
        b64encode(f"u:{SECRET}..".encode()).decode(),
        SECRET.encode().hex(),
        f"Bearer {SECRET[:-2]}",
    ],
)
def test_a_secret_is_found_in_any_disguise(text: str) -> None:
    assert leaks({"it": SECRET}, {"here": text}) == ["it in here"]
    assert leaks({"it": SECRET[::-1]}, {"here": text}) == []
    assert all(len(form) >= PART for form in disguises(SECRET))
