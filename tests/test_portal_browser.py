"""A driver's way through the portal, in a real browser with real policies."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from integrations.models import Connection, ConnectLink, Driver
from integrations.sandbox import Sandbox
from integrations.services import connect_links
from tests.portal import sandbox_for


@pytest.fixture
def sandbox(settings: Settings, live_server: LiveServer) -> Iterator[Sandbox]:
    with sandbox_for(settings, vehicles=2) as running:
        policy = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]
        settings.CONTENT_SECURITY_POLICY = {
            "DIRECTIVES": policy | {"form-action": ["'self'", running.smartcar.origin]}
        }
        settings.SMARTCAR_REDIRECT_URI = f"{live_server.url}/connect/callback/"
        yield running


@pytest.fixture
def link(sandbox: Sandbox) -> ConnectLink:
    someone = sandbox.fleet.drivers[0]
    driver = Driver.objects.create(email=someone.email, name=someone.name)
    return connect_links.create(driver, now=datetime.now(UTC))


@pytest.fixture
def complaints(page: Page) -> list[str]:
    """What the browser complains about: blocked by a policy, not found, broken."""
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("requestfailed", lambda request: heard.append(f"failed: {request.url}"))
    return heard


def go_to_connect(page: Page, live_server: LiveServer, link: ConnectLink) -> None:
    page.goto(live_server.url + connect_links.path(link))
    page.get_by_role("button", name="Go on to connect").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Share your car with Fleet Portal")


def test_driver_connects_and_withdraws_in_a_browser(
    page: Page,
    live_server: LiveServer,
    sandbox: Sandbox,
    link: ConnectLink,
    complaints: list[str],
) -> None:
    go_to_connect(page, live_server, link)
    page.get_by_role("button", name="Allow").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Thank you, that worked")
    expect(page.get_by_text("Your 2 cars are connected.")).to_be_visible()

    page.get_by_role("link", name="Go to my page").click()
    page.get_by_role("link", name="Stop sharing").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Stop sharing?")
    page.get_by_role("button", name="Yes, stop sharing").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You no longer share this")

    assert Connection.objects.get().status == Connection.Status.REVOKED
    assert complaints == []


def test_driver_refuses_in_a_browser_and_can_start_again(
    page: Page,
    live_server: LiveServer,
    sandbox: Sandbox,
    link: ConnectLink,
    complaints: list[str],
) -> None:
    go_to_connect(page, live_server, link)
    page.get_by_role("button", name="Deny").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You did not share the data")

    page.get_by_role("link", name="Start again").click()
    expect(page.get_by_role("button", name="Go on to connect")).to_be_visible()

    assert not Connection.objects.exists()
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_narrow_phone_and_their_buttons_a_thumb(
    page: Page, live_server: LiveServer, link: ConnectLink, scheme: str
) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for path in (connect_links.path(link), connect_links.driver_path(link.driver)):
        page.goto(live_server.url + path)

        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        for button in page.locator("button, .button").all():
            box = button.bounding_box()
            assert box is not None
            assert box["height"] >= 48


def test_browser_refuses_another_site_as_target_of_the_button(
    page: Page,
    live_server: LiveServer,
    settings: Settings,
    link: ConnectLink,
    complaints: list[str],
) -> None:
    policy = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]
    settings.CONTENT_SECURITY_POLICY = {"DIRECTIVES": policy | {"form-action": ["'self'"]}}
    page.goto(live_server.url + connect_links.path(link))
    page.get_by_role("button", name="Go on to connect").click()

    expect(page.get_by_role("button", name="Go on to connect")).to_be_visible()
    assert any("form-action" in text for text in complaints)
