"""Channels: where they may lead, what they are sent, and what is never said of their address."""

import logging
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import requests

from integrations.clients.errors import ClientError
from maintenance.models import Channel
from maintenance.services import channels
from maintenance.services.channels import ChannelError
from tests.factories import NOW, make_recipient
from tests.maintenance.receivers_of_channels import Receiver, receiving

SECRET = "hook-with-a-secret"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def private_allowed(settings: Any) -> None:
    settings.CHANNELS_ALLOW_PRIVATE = True


@pytest.mark.parametrize(
    "url",
    [
        "ntfys://ntfy.example.com/topic",
        "ntfy://topic",
        "jsons://hooks.example.com/a?+X-Key=b",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general",
        "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "tgram://123456789:ABCdefghijkl/987654321/",
        "workflows://host.example.com:443/w/sig",
        "mmosts://chat.example.com/tokenabc",
        f"https://discord.com/api/webhooks/{'1' * 18}/{'x' * 60}?avatar=no",
        "https://prod-1.logic.azure.com:443/workflows/w/triggers/manual/paths/invoke"
        "?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=s",
        "https://chat.googleapis.com/v1/spaces/s/messages?key=k&token=t",
        "gotifys://push.example.com/token?priority=high&verify=no",
    ],
)
def test_services_that_people_use_are_allowed(url: str) -> None:
    channels.check(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "file:///etc/passwd",
        "dbus://",
        "syslog://",
        "exec://ls",
        "windows://",
        "mailto://user:pass@example.com",
        "apprise://example.com/token",
        "https://example.com/anything",
        "http://example.com/",
        "slack://",
        "json://",
        "json://localhost/x",
        "json://127.0.0.1/x",
        "json://10.0.0.7/x",
        "json://169.254.169.254/latest",
        "json://[::1]/x",
        "json://[::ffff:127.0.0.1]/x",
        "json://metadata.internal/x",
        "json://printer.local/x",
        "json://redis/x",
        "xml://2130706433/x",
        "json://[64:ff9b::10.0.0.7]/x",
        "json://[2002:a00:7::]/x",
    ],
)
def test_addresses_of_this_machine_and_its_network_are_refused(url: str) -> None:
    with pytest.raises(ChannelError):
        channels.check(url)


@pytest.mark.parametrize(
    "url",
    [
        f"discord://{'1' * 18}/{'x' * 60}/?template=/etc/passwd",
        f"discord://{'1' * 18}/{'x' * 60}/?TEMPLATE=http%3A%2F%2F127.0.0.1%2Fsecret",
        f"discord://{'1' * 18}/{'x' * 60}/?avatar=no;%74emplate=/etc/passwd",
        f"https://discord.com/api/webhooks/{'1' * 18}/{'x' * 60}?template=/etc/passwd",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?template=/etc/passwd",
        f"workflows://prod-1.example.com:443/{'a' * 32}/{'b' * 43}/?template=/etc/passwd",
        "tgram://123456789:ABCdefghijkl/987654321/?template=/etc/passwd",
        "ntfys://ntfy.example.com/topic?attach=http://127.0.0.1/secret",
        "jsons://hooks.example.com/a?retry=9",
        "jsons://hooks.example.com/a?redirect=yes",
        "matrixs://user:pass@example.com/%23room?discovery=yes",
    ],
)
def test_an_address_makes_this_machine_open_and_repeat_nothing(url: str) -> None:
    with pytest.raises(ChannelError, match="a setting that is not allowed"):
        channels.check(url)


def test_a_server_is_not_asked_where_else_messages_should_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def ask(method: str, url: str, **_: Any) -> Any:
        asked.append(url)
        raise requests.ConnectionError

    def outside(*_: Any, **__: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", outside)
    for method in ("get", "post", "put"):
        monkeypatch.setattr(requests, method, partial(ask, method))

    with pytest.raises(ChannelError):
        channels.send("matrixs://user:pass@example.com/%23room", title="t", body="b")
    assert asked
    assert not [url for url in asked if "/.well-known/" in url]


@pytest.mark.parametrize(
    "url",
    [
        "ntfys://ntfy.example.com/one/two",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#one/#two",
        "tgram://123456789:ABCdefghijkl/987654321/987654322/",
        "tgram://123456789:ABCdefghijkl/987654321/?to=987654322",
    ],
)
def test_an_address_leads_to_one_place(url: str) -> None:
    """Where one of two takes no message, the other would get it again with each attempt."""
    with pytest.raises(ChannelError, match="one address for each"):
        channels.check(url)


@pytest.mark.parametrize(
    "found",
    [
        "127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::a00:1",
        "2002:a9fe:a9fe::1",
        "2002:a00:1::",
        "::7f00:1",
    ],
)
def test_a_public_name_that_leads_inside_is_refused(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver, found: str
) -> None:
    def inside(*_: Any, **__: Any) -> Any:
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (found, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", inside)
    url = receiver.url.replace("127.0.0.1", "hooks.example.com")

    with pytest.raises(ChannelError, match="private network"):
        channels.send(url, title="t", body="b")
    assert receiver.messages == []


@pytest.mark.parametrize("found", ["93.184.215.14", "64:ff9b::5db8:d70e", "2606:4700::1111"])
def test_a_public_place_is_not_refused(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver, found: str
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", (found, 0))])
    url = receiver.url.replace("127.0.0.1", "hooks.example.com")

    with pytest.raises(ChannelError, match="did not answer"):
        channels.send(url, title="t", body="b")


@pytest.mark.usefixtures("private_allowed")
def test_a_message_arrives_with_title_and_body(receiver: Receiver) -> None:
    channels.send(receiver.url, title="Due: oil", body="Van 7")

    (message,) = receiver.messages
    assert (message["title"], message["message"]) == ("Due: oil", "Van 7")


@pytest.mark.usefixtures("private_allowed")
def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    with receiving() as elsewhere:
        receiver.status = 307
        receiver.location = elsewhere.url.replace("json://", "http://")
        with pytest.raises(ChannelError):
            channels.send(receiver.url, title="t", body="b")

        assert elsewhere.messages == []


@pytest.mark.django_db
@pytest.mark.usefixtures("private_allowed")
def test_a_failure_says_nothing_of_the_address(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.status = 500
    channel = Channel.objects.create(recipient=make_recipient(), name="ops", url=receiver.url)

    with caplog.at_level(logging.DEBUG), pytest.raises(ClientError) as caught:
        channels.send_text(channel, title="t", body="b", now=NOW)

    channel.refresh_from_db()
    assert channel.last_error == "the service refused the message or did not answer"
    assert channel.last_sent_at is None
    assert SECRET not in str(caught.value) + channel.last_error
    assert SECRET not in caplog.text

    receiver.status = 200
    channels.send_text(channel, title="t", body="b", now=NOW)
    assert Channel.objects.filter(last_sent_at=NOW, last_error="").exists()
