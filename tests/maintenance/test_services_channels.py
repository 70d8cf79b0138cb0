"""Channels: where they may lead, what they are sent, and what is never said of their address."""

import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest

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
    ],
)
def test_addresses_of_this_machine_and_its_network_are_refused(url: str) -> None:
    with pytest.raises(ChannelError):
        channels.check(url)


def test_a_public_name_that_leads_inside_is_refused(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    def inside(*_: Any, **__: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", inside)
    url = receiver.url.replace("127.0.0.1", "hooks.example.com")

    with pytest.raises(ChannelError, match="private network"):
        channels.send(url, title="t", body="b")
    assert receiver.messages == []


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
            channels.send(receiver.url + "?redirect=yes", title="t", body="b")

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
