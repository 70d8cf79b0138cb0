"""What keeps strangers out: headers of every page, cookies, logins, production settings."""

import re
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from http.cookies import Morsel
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axes.models import AccessAttempt, AccessLog
from cryptography.fernet import Fernet
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import F
from django.http import HttpResponseBase
from django.test import Client, RequestFactory
from django.urls import resolve, reverse
from playwright.sync_api import Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from fleetportal import clock
from fleetportal.lockout import client_address
from integrations.models import Connection, ConnectLink, Driver, PortalSettings
from integrations.sandbox import Sandbox
from integrations.services import connect_links
from tests import factories as make
from tests.portal import connect_driver, run, sandbox_for
from tests.processes import environment, manage
from tests.test_admin_site import ROWS

LOGIN = "/admin/login/"
LIMIT = 10
RIGHT = "correct horse battery staple"


@pytest.fixture
def sandbox(settings: Settings, db: None) -> Iterator[Sandbox]:
    with sandbox_for(settings, vehicles=2) as running:
        yield running


# --- A page that a strict policy does not break ------------------------------------------------

LOADS = {
    ("script", "src"),
    ("link", "href"),
    ("img", "src"),
    ("form", "action"),
    ("button", "formaction"),
    ("input", "formaction"),
    ("iframe", "src"),
    ("object", "data"),
    ("embed", "src"),
    ("base", "href"),
    ("use", "href"),
    ("image", "href"),
}


class Reader(HTMLParser):
    """Collects what the policy would block, what comes from elsewhere, and the links."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.links: list[str] = []
        self._inside_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self._inside_script = tag == "script"
        if tag == "style":
            self.faults.append("<style>")
        for name, value in values.items():
            if name == "style" or name.startswith("on"):
                self.faults.append(f"<{tag} {name}={value!r}>")
            if (value or "").strip().lower().startswith(("javascript:", "vbscript:")):
                self.faults.append(f"<{tag} {name}={value!r}>")
            if (tag, name.removeprefix("xlink:")) in LOADS and _is_foreign(value or ""):
                self.faults.append(f"<{tag} {name}={value!r}>")
        if tag == "meta" and (values.get("http-equiv") or "").lower() == "refresh":
            self.faults.append("<meta http-equiv=refresh>")
        if tag == "a" and values.get("href"):
            self.links.append(str(values["href"]))

    handle_startendtag = handle_starttag

    def handle_endtag(self, tag: str) -> None:
        self._inside_script = False

    def handle_data(self, data: str) -> None:
        if self._inside_script and data.strip():
            self.faults.append(f"<script>{data.strip()[:40]}")


def _is_foreign(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme not in {"", "data"}


def policy_of(answer: HttpResponseBase) -> dict[str, list[str]]:
    directives = answer["Content-Security-Policy"].split(";")
    return {name: sources for name, *sources in (d.split() for d in directives if d.strip())}


def read(answer: Any) -> Reader:
    """Check the headers and the markup of one page."""
    policy = policy_of(answer)
    assert not [s for sources in policy.values() for s in sources if "unsafe" in s or s == "*"]
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == ["'none'"]
    assert policy["script-src"] == policy["style-src"] == ["'self'"]
    assert policy["form-action"] == ["'self'", "https://connect.smartcar.com"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer["Referrer-Policy"] == "same-origin"
    reader = Reader()
    if answer["Content-Type"].startswith("text/html"):
        reader.feed(answer.content.decode())
        reader.close()
    assert reader.faults == [], answer.request["PATH_INFO"]
    return reader


@pytest.mark.parametrize(
    "markup",
    [
        "<script>go()</script>",
        "<p style='color: red'>",
        "<style>p {}</style>",
        "<svg><rect onload=go() /></svg>",
        "<a href=' JavaScript:go()'>",
        "<script src='//cdn.example.net/x.js'></script>",
        "<link rel=stylesheet href=https://cdn.example.net/x.css>",
        "<meta http-equiv=Refresh content=0>",
    ],
)
def test_the_reader_sees_what_a_policy_would_block(markup: str) -> None:
    reader = Reader()
    reader.feed(markup)

    assert len(reader.faults) == 1


# --- Pages of drivers --------------------------------------------------------------------------


@pytest.fixture
def link(sandbox: Sandbox) -> ConnectLink:
    someone = sandbox.fleet.drivers[0]
    driver = connect_links.invite(email=someone.email, name=someone.name, now=clock.now())
    return connect_links.create(driver, now=clock.now())


def assert_kept_by_nobody(answer: HttpResponseBase) -> None:
    """Neither a cache nor another site learns an address that is a key."""
    assert "no-store" in answer["Cache-Control"]
    assert "private" in answer["Cache-Control"]
    assert answer["Referrer-Policy"] in {"same-origin", "no-referrer"}


def state_of(client: Client, link: ConnectLink) -> str:
    away = client.post(connect_links.path(link))
    return urlsplit(away["Location"]).query.partition("state=")[2].partition("&")[0]


def test_pages_of_a_driver_are_strict_and_kept_by_nobody(
    client: Client, sandbox: Sandbox, link: ConnectLink
) -> None:
    connect_driver(sandbox)
    driver, connection = Driver.objects.get(), Connection.objects.get()
    home = connect_links.driver_path(driver)
    answers = {
        200: [
            client.get(connect_links.path(link)),
            client.get(home),
            client.get(f"{home}?withdraw={connection.pk}"),
            client.get(f"/connect/callback/?state={state_of(client, link)}&error=access_denied"),
            client.post(home, {"action": "withdraw", "connection": connection.pk}),
        ],
        400: [client.get("/connect/callback/?state=foreign&code=x")],
        404: [client.get("/connect/1-x.y/"), client.get("/driver/1-x.y/")],
        405: [client.put(connect_links.path(link)), client.delete(home)],
        410: [],
        502: [client.get(f"/connect/callback/?state={state_of(client, link)}&error=server_error")],
    }
    for column in ("used_at", "withdrawn_at"):
        closed = connect_links.create(driver, now=clock.now())
        ConnectLink.objects.filter(pk=closed.pk).update(**{column: clock.now()})
        answers[410].append(client.get(connect_links.path(closed)))
    ConnectLink.objects.filter(pk=link.pk).update(expires_at=clock.now() - timedelta(days=1))
    answers[410].append(client.get(connect_links.path(link)))
    Driver.objects.update(is_active=False)
    answers[410].append(client.post(home, {"action": "reconnect"}))

    for pages in answers.values():
        for page in pages:
            read(page)
            assert_kept_by_nobody(page)
    answers[200] += answers.pop(502)  # what Connect says is told on a page like any other
    assert {status: {p.status_code for p in pages} for status, pages in answers.items()} == {
        status: {status} for status in answers
    }


def test_the_page_after_connecting_is_strict_and_kept_by_nobody(
    client: Client, sandbox: Sandbox, link: ConnectLink
) -> None:
    away = client.post(connect_links.path(link))
    assert_kept_by_nobody(away)
    back = urlsplit(sandbox.smartcar.connect.approve(away["Location"]))
    page = client.get(f"{back.path}?{back.query}")

    assert page.status_code == 200
    read(page)
    assert_kept_by_nobody(page)


def test_a_portal_without_credentials_says_so_on_a_strict_page(
    client: Client, link: ConnectLink, settings: Settings
) -> None:
    settings.SMARTCAR_CLIENT_ID = ""

    page = client.get(connect_links.path(link))

    assert page.status_code == 503
    read(page)
    assert_kept_by_nobody(page)


def test_pages_of_errors_are_strict(link: ConnectLink, settings: Settings) -> None:
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    staff = Client()
    staff.force_login(make.make_user())
    home = connect_links.driver_path(link.driver)
    pages = {
        400: Client().post(home, {"action": "nonsense"}),
        404: client.get("/nowhere/"),
        403: staff.get(reverse("admin:integrations_vehicle_add")),
    }
    forged = client.post(connect_links.path(link))
    strange = client.get("/healthz", headers={"host": "evil.example.net"})
    settings.SMARTCAR_MODE = "nonsense"
    pages[500] = client.get(connect_links.path(link))

    for status, page in pages.items():
        assert page.status_code == status
        read(page)
    assert (forged.status_code, strange.status_code) == (403, 400)
    assert "cookies" in forged.content.decode()
    read(forged)
    read(strange)


def test_what_machines_ask_for_is_strict_too(client: Client, db: None) -> None:
    for address in ("/healthz", "/readyz"):
        read(client.get(address))


# --- Pages of the admin ------------------------------------------------------------------------


class Walk:
    """Follows every link of the admin, one of each kind of page."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.seen: set[tuple[Any, ...]] = set()
        self.waiting = [reverse("admin:index")]

    def go(self) -> None:
        while self.waiting:
            address = self.waiting.pop()
            kind = self._kind(address)
            if kind in self.seen:
                continue
            self.seen.add(kind)
            answer: Any = self.client.get(address)
            if answer.status_code in {301, 302}:
                self._add(address, answer["Location"])
                continue
            assert answer.status_code == 200, address
            for found in read(answer).links:
                self._add(address, found)

    @property
    def names(self) -> set[str]:
        return {str(kind[0]) for kind in self.seen}

    def _add(self, base: str, found: str) -> None:
        parts = urlsplit(found)
        if parts.scheme or parts.netloc or not (parts.path or parts.query):
            return
        path = parts.path or urlsplit(base).path
        if not path.startswith("/"):
            path = urlsplit(base).path + path
        self.waiting.append(f"{path}?{parts.query}" if parts.query else path)

    @staticmethod
    def _kind(address: str) -> tuple[Any, ...]:
        parts = urlsplit(address)
        asked = {part.partition("=")[0] for part in parts.query.split("&")}
        # Filters of every name, but not each of their values, and no two at once.
        return (resolve(parts.path).view_name, tuple(sorted(asked)[:1]))


def fill(sandbox: Sandbox) -> None:
    """Something of everything."""
    for row in ROWS.values():
        row()
    connect_driver(sandbox)
    connect_links.create(Driver.objects.latest("pk"), now=clock.now())
    Group.objects.create(name="Workshop")
    PortalSettings.load().save()


def test_every_page_of_the_admin_is_strict(admin_client: Client, sandbox: Sandbox) -> None:
    fill(sandbox)
    run("poll", "--all")

    walk = Walk(admin_client)
    walk.go()

    for model in admin.site._registry:
        base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        assert walk.names & {f"{base}_changelist", f"{base}_change"}, base
        row = model._default_manager.first()
        assert row is not None, base
        for page, args in (("add", []), ("history", [row.pk]), ("delete", [row.pk])):
            answer = admin_client.get(reverse(f"{base}_{page}", args=args))
            assert answer.status_code in {200, 403}
            read(answer)
        read(admin_client.get(reverse(f"{base}_change", args=[row.pk])))
    assert {"admin:index", "admin:password_change", "admin:app_list"} <= walk.names


def test_every_question_of_the_admin_is_strict(
    admin_client: Client, admin_user: User, sandbox: Sandbox
) -> None:
    fill(sandbox)
    request = RequestFactory().get("/")
    request.user = admin_user
    asked = set()
    for model, model_admin in admin.site._registry.items():
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for action in model_admin.get_actions(request):
            newest = model._default_manager.order_by("-pk").first()
            if newest is None:
                continue
            answer = admin_client.post(
                f"{address}?status=all" if model.__name__ == "Alert" else address,
                {"action": action, "_selected_action": newest.pk, "index": 0},
            )
            if answer.status_code == 200:
                asked.add(action)
                read(answer)

    assert {"withdraw", "show_link", "delete_selected"} <= asked


def test_pages_around_the_login_are_strict(client: Client, admin_user: User) -> None:
    pages = [client.get(LOGIN), client.post(LOGIN, {"username": "x", "password": "y"})]
    client.force_login(admin_user)
    pages += [
        client.get(reverse("admin:password_change")),
        client.post(reverse("admin:password_change"), {"old_password": "x"}),
        client.get(reverse("admin:password_change_done")),
        client.get(reverse("admin:jsi18n")),
        client.post(reverse("admin:logout")),
    ]
    pages.append(lock(Client()))

    assert [page.status_code for page in pages] == [200] * 7 + [429]
    for page in pages:
        read(page)


# --- In a real browser -------------------------------------------------------------------------


@pytest.fixture
def site(live_server: LiveServer, settings: Settings) -> Iterator[Sandbox]:
    with sandbox_for(settings, vehicles=2) as running:
        policy = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]
        settings.CONTENT_SECURITY_POLICY = {
            "DIRECTIVES": policy | {"form-action": ["'self'", running.smartcar.origin]}
        }
        yield running


def test_no_page_of_the_admin_makes_a_browser_complain(
    page: Page, live_server: LiveServer, site: Sandbox
) -> None:
    fill(site)
    client = Client()
    client.force_login(User.objects.create_superuser("boss"))
    page.context.add_cookies(
        [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
    )
    heard: list[str] = []
    page.on("console", lambda said: heard.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: heard.append(str(error)))
    addresses = [reverse("admin:index"), reverse("admin:password_change")]
    for model in admin.site._registry:
        base = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        row = model._default_manager.latest("pk")
        addresses += [reverse(f"{base}_changelist"), reverse(f"{base}_change", args=[row.pk])]
        if client.get(reverse(f"{base}_add")).status_code == 200:
            addresses.append(reverse(f"{base}_add"))
    for address in addresses:
        answer = page.goto(live_server.url + address)
        assert answer is not None
        assert answer.status == 200, address
        assert heard == [], address


def test_connect_never_learns_the_address_of_the_portal_link(
    page: Page, live_server: LiveServer, site: Sandbox
) -> None:
    link = make.make_link(created_at=clock.now(), expires_at=clock.now() + timedelta(days=1))
    page.goto(live_server.url + connect_links.path(link))
    page.get_by_role("button", name="Go on to connect").click()
    expect(page.get_by_role("button", name="Allow")).to_be_visible()

    asked = [entry for entry in site.smartcar.requests if entry.method == "GET"]
    assert asked
    assert all("referer" not in entry.headers for entry in asked)


# --- Cookies -----------------------------------------------------------------------------------


def cookies_of(client: Client, link: ConnectLink) -> dict[str, "Morsel[str]"]:
    page = client.get(connect_links.path(link), secure=True)
    away = client.post(connect_links.path(link), secure=True)
    return {**page.cookies, **away.cookies}


def test_cookies_are_for_this_site_over_https_and_for_no_script(
    client: Client, link: ConnectLink
) -> None:
    cookies = cookies_of(client, link)

    assert sorted(cookies) == ["csrftoken", "sessionid"]
    for cookie in cookies.values():
        assert cookie["secure"] is True
        assert cookie["httponly"] is True
        assert cookie["domain"] == ""
        # Not Strict: the way back from Connect is a link from another site, and needs the session.
        assert cookie["samesite"] == "Lax"


def test_cookies_work_without_https_where_the_portal_has_none(tmp_path: Path) -> None:
    script = (
        "from django.conf import settings as s;"
        "print(s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE, s.SECURE_SSL_REDIRECT)"
    )
    for site, expected in (("http://localhost:8000", "False"), ("https://a.example.com", "True")):
        asked = manage(environment(tmp_path, SITE_URL=site), "shell", "-v", "0", "-c", script)

        assert asked.stdout.split() == [expected] * 3, asked.stderr


# --- Logins ------------------------------------------------------------------------------------


def log_in(client: Client, password: str, name: str = "admin", address: str = "10.0.0.1") -> Any:
    form = {"username": name, "password": password, "next": "/admin/"}
    return client.post(LOGIN, form, REMOTE_ADDR=address)


def lock(client: Client, **who: str) -> Any:
    for _ in range(LIMIT - 1):
        assert log_in(client, "wrong", **who).status_code == 200
    return log_in(client, "wrong", **who)


def let_time_pass(**length: float) -> None:
    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(**length))


@pytest.fixture
def person(db: None) -> User:
    return User.objects.create_superuser("admin", password=RIGHT)


def test_the_tenth_wrong_password_locks_and_the_right_one_waits_too(
    client: Client, person: User
) -> None:
    assert lock(client).status_code == 429
    assert log_in(client, RIGHT).status_code == 429
    assert "_auth_user_id" not in client.session

    let_time_pass(minutes=14)
    assert log_in(client, RIGHT).status_code == 429
    let_time_pass(minutes=2)
    assert log_in(client, RIGHT).status_code == 302
    assert client.session["_auth_user_id"] == str(person.pk)


def test_trying_on_does_not_make_a_lock_longer(client: Client, person: User) -> None:
    lock(client)
    let_time_pass(minutes=10)
    log_in(client, "wrong")
    let_time_pass(minutes=6)

    assert log_in(client, RIGHT).status_code == 302


def test_a_lock_says_when_to_try_again(client: Client, person: User) -> None:
    page = lock(client)
    text = page.content.decode()
    assert "cannot log in from here for the next 15 minutes" in text
    assert "Fleet Portal" in text
    assert f'href="{LOGIN}"' in text
    assert 890 <= int(page["Retry-After"]) <= 900
    assert "no-store" in page["Cache-Control"]

    let_time_pass(minutes=14, seconds=30)
    assert "for the next minute" in log_in(client, RIGHT).content.decode()


def test_a_lock_looks_the_same_for_a_name_that_nobody_has(client: Client, person: User) -> None:
    known, unknown = lock(client).content, lock(client, name="nobody").content

    assert known == unknown


def test_a_lock_is_for_one_name_and_one_address(client: Client, person: User) -> None:
    User.objects.create_superuser("other", password=RIGHT)
    lock(client)

    assert log_in(Client(), RIGHT, address="10.0.0.2").status_code == 302
    assert log_in(Client(), RIGHT, name="other").status_code == 302
    assert log_in(Client(), RIGHT).status_code == 429


def test_a_lock_throws_nobody_out(client: Client, person: User) -> None:
    assert log_in(client, RIGHT).status_code == 302
    lock(Client())

    assert client.get("/admin/").status_code == 200


def test_a_right_password_begins_the_count_anew(client: Client, person: User) -> None:
    for _ in range(3):
        for _ in range(LIMIT - 1):
            assert log_in(Client(), "wrong").status_code == 200
        assert log_in(Client(), RIGHT).status_code == 302
    assert not AccessAttempt.objects.exists()


def test_a_guesser_gains_nothing_by_another_browser_or_a_header(person: User) -> None:
    for number in range(LIMIT - 1):
        headers = {"user-agent": f"browser {number}", "x-forwarded-for": f"192.0.2.{number}"}
        log_in(Client(headers=headers), "wrong")

    assert log_in(Client(), "wrong").status_code == 429


@pytest.mark.parametrize(
    ("connection", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", "127.0.0.1"),
        ("unix:", "127.0.0.1"),
    ],
)
def test_an_address_is_counted_as_what_one_guesser_has(connection: str, counted: str) -> None:
    assert client_address(RequestFactory().get("/", REMOTE_ADDR=connection)) == counted


def test_behind_a_unix_socket_passwords_are_counted_as_well(person: User) -> None:
    assert lock(Client(), address="").status_code == 429


def test_old_failures_are_deleted_by_the_next_login(client: Client, person: User) -> None:
    lock(client, name="somebody")
    let_time_pass(minutes=16)
    log_in(client, RIGHT)

    assert not AccessAttempt.objects.exists()
    assert not AccessLog.objects.exists()


def test_what_is_kept_of_a_failure_is_no_password_token_or_address(person: User) -> None:
    client = Client(enforce_csrf_checks=True)
    field = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', str(client.get(LOGIN).content))
    assert field
    secret = {"csrfmiddlewaretoken": field[1], "password": "hunter2-hunter2", "next": "/driver/x/"}
    client.post(f"{LOGIN}?next=/driver/x/", {"username": "admin", **secret}, secure=False)

    (attempt,) = AccessAttempt.objects.values()
    kept = repr(attempt)
    assert attempt["failures_since_start"] == 1
    for value in secret.values():
        assert value not in kept


def test_processes_count_together(tmp_path: Path) -> None:
    env = environment(tmp_path, EMAIL_URL="dummymail://")
    assert manage(env, "migrate", "-v", "0").returncode == 0
    script = (
        "from django.test import Client\n"
        "for _ in range({}):\n"
        "    a = Client().post('/admin/login/', dict(username='a', password='b'),"
        " headers=dict(host='localhost'))\n"
        "print(a.status_code)"
    )
    answers = [manage(env, "shell", "-v", "0", "-c", script.format(n)) for n in (6, 3, 1)]

    assert [answer.stdout.strip() for answer in answers] == ["200", "200", "429"], answers


# --- A portal in production --------------------------------------------------------------------


def test_a_production_portal_passes_every_check(tmp_path: Path) -> None:
    env = environment(
        tmp_path,
        SITE_URL="https://fleet.example.com",
        SECRET_KEY="k3v-Zq0_8wXnT5rJ2mLpY7sBdHf4GcUa9eRi6oVtNxQ1zWjM-b8Kd3",
        FIELD_ENCRYPTION_KEYS=",".join(Fernet.generate_key().decode() for _ in range(2)),
        DATABASE_URL="postgres://portal:pa55word@127.0.0.1:9/portal",
        CELERY_BROKER_URL="redis://:pa55word@127.0.0.1:9/0",
        EMAIL_URL="smtp+tls://portal:pa55word@127.0.0.1:9",
        SMARTCAR_MODE="live",
        SMARTCAR_CLIENT_ID="8229df9f-91a0-4ff0-a1ae-a1f38ee24d07",
        SMARTCAR_CLIENT_SECRET="d5b1c0b7-5d0b-4ed6-8b9c-1b9c2a1f0e11",
        SMARTCAR_MANAGEMENT_TOKEN="a6c2f3f0-9d0b-43d1-9c7a-6b1f7c1e2d10",
        FLEETIO_API_TOKEN="8c0d5b7e9f1a2b3c",
        FLEETIO_ACCOUNT_TOKEN="a1b2c3d4e5",
    )

    checked = manage(env, "check", "--deploy", "--fail-level", "WARNING")

    assert checked.returncode == 0, checked.stderr
    assert "no issues" in checked.stdout
    assert checked.stderr == ""


def test_a_check_for_production_can_fail(tmp_path: Path) -> None:
    env = environment(tmp_path, SITE_URL="http://fleet.example.com", SECRET_KEY="short")

    checked = manage(env, "check", "--deploy", "--fail-level", "WARNING")

    assert checked.returncode == 1
    assert "security.W009" in checked.stderr
