"""Recipients, their channels, and the fleet's words in the admin."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.core import mail as outgoing
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from fleetportal import clock
from integrations.models import OutboxEntry
from maintenance.models import Channel, NoticeTemplate, Recipient
from maintenance.services import notifying
from maintenance.services.notifying import Event
from tests.factories import NOW, make_alert, make_recipient, make_rule
from tests.maintenance.receivers_of_channels import receiving

pytestmark = pytest.mark.django_db

ADDRESS = "ntfys://ntfy.example.com/a-secret-topic"


@pytest.fixture(autouse=True)
def fixed_time() -> Iterator[None]:
    clock.set_source(lambda: NOW)
    yield
    clock.set_source(None)


def url(model: str, page: str, *args: Any) -> str:
    return reverse(f"admin:maintenance_{model}_{page}", args=args)


def said(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def recipient_form(**typed: Any) -> dict[str, Any]:
    return {
        "email": "mona@example.com",
        "language": "en",
        "min_severity": "low",
        "delivery": "immediate",
        "digest_hour": "7",
        "digest_weekday": "0",
        "most_per_hour": "10",
        "channels-TOTAL_FORMS": "0",
        "channels-INITIAL_FORMS": "0",
        **typed,
    }


def channel_form(**typed: Any) -> dict[str, Any]:
    fields = {"name": "ops", "address": ADDRESS, "is_enabled": "on"} | typed
    return {"channels-TOTAL_FORMS": "1"} | {f"channels-0-{k}": v for k, v in fields.items()}


# --- Channels ---------------------------------------------------------------------------------


def test_a_channels_address_is_typed_once_and_never_shown(admin_client: Client) -> None:
    admin_client.post(url("recipient", "add"), recipient_form() | channel_form())
    recipient = Recipient.objects.get()
    channel = Channel.objects.get()
    assert channel.url == ADDRESS

    for page in (
        url("recipient", "change", recipient.pk),
        url("channel", "change", channel.pk),
        url("channel", "changelist"),
    ):
        assert "secret-topic" not in admin_client.get(page).text
    form = {"recipient": recipient.pk, "name": "renamed", "address": "", "is_enabled": "on"}
    answer = admin_client.post(url("channel", "change", channel.pk), form)
    channel.refresh_from_db()
    assert answer.status_code == 302
    assert (channel.name, channel.url) == ("renamed", ADDRESS)


def test_an_address_that_is_refused_is_not_shown_either(admin_client: Client) -> None:
    typed = channel_form(address="file:///a-secret-topic")

    page = admin_client.post(url("recipient", "add"), recipient_form() | typed)

    assert "this kind of address is not allowed" in page.text
    assert "secret-topic" not in page.text
    assert not Channel.objects.exists()
    empty = admin_client.post(url("recipient", "add"), recipient_form() | channel_form(address=""))
    assert "Give the address." in empty.text


def test_an_address_that_no_key_opens_does_not_break_the_pages(admin_client: Client) -> None:
    recipient = make_recipient()
    channel = Channel.objects.create(recipient=recipient, name="ops", url=ADDRESS)
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("UPDATE maintenance_channel SET url = 'garbage'")

    for page in (url("recipient", "change", recipient.pk), url("channel", "change", channel.pk)):
        assert admin_client.get(page).status_code == 200


def test_rotating_the_key_takes_the_channels_along(settings: Any) -> None:
    from cryptography.fernet import Fernet

    Channel.objects.create(recipient=make_recipient(), name="ops", url=ADDRESS)
    new = Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEYS = [new, *settings.FIELD_ENCRYPTION_KEYS]

    call_command("rotate_encryption_key")

    settings.FIELD_ENCRYPTION_KEYS = [new]
    assert Channel.objects.get().url == ADDRESS


def test_a_channel_is_tried(admin_client: Client, settings: Any) -> None:
    settings.CHANNELS_ALLOW_PRIVATE = True
    with receiving() as receiver:
        channel = Channel.objects.create(recipient=make_recipient(), name="ops", url=receiver.url)
        action = {"action": "send_test", "_selected_action": [channel.pk]}
        assert "A test was sent: ops" in said(
            admin_client.post(url("channel", "changelist"), action)
        )
        assert len(receiver.messages) == 1
        receiver.status = 500
        answer = admin_client.post(url("channel", "changelist"), action)

    assert "refused the message" in said(answer)
    assert "secret" not in said(answer)


# --- Recipients -------------------------------------------------------------------------------


def test_a_recipient_chooses_kinds_and_hours(admin_client: Client) -> None:
    typed = {"kinds": ["oil_life"], "quiet_from": "22:00", "quiet_until": "06:30"}

    admin_client.post(url("recipient", "add"), recipient_form(**typed))

    recipient = Recipient.objects.get()
    assert recipient.kinds == ["oil_life"]
    page = admin_client.get(url("recipient", "changelist")).text
    assert "22:00\N{EN DASH}06:30" in page


def test_quiet_hours_have_two_ends(admin_client: Client) -> None:
    page = admin_client.post(url("recipient", "add"), recipient_form(quiet_from="22:00"))

    assert "Give both ends" in page.text


def test_what_at_once_means_is_said(admin_client: Client) -> None:
    page = admin_client.get(url("recipient", "add")).text

    assert "many at once come together in" in page


def test_what_waits_for_a_recipient_is_shown(admin_client: Client) -> None:
    recipient = make_recipient(email="a@example.com", delivery="weekly")
    alert = make_alert(rule=make_rule(extra_addresses="a@example.com"))
    notifying.tell(alert, event=Event.OPENED, now=NOW)

    page = admin_client.get(url("recipient", "change", recipient.pk)).text

    entry = OutboxEntry.objects.get()
    assert reverse("admin:integrations_outboxentry_change", args=[entry.pk]) in page


def test_a_recipient_is_sent_a_test(admin_client: Client) -> None:
    recipient = make_recipient()
    action = {"action": "send_test", "_selected_action": [recipient.pk]}

    admin_client.post(url("recipient", "changelist"), action)

    assert [message.to for message in outgoing.outbox] == [[recipient.email]]


def test_who_unsubscribed_is_subscribed_again(admin_client: Client) -> None:
    recipient = make_recipient(unsubscribed_at=NOW)
    action = {"action": "subscribe", "_selected_action": [recipient.pk]}

    admin_client.post(url("recipient", "changelist"), action)

    recipient.refresh_from_db()
    assert recipient.unsubscribed_at is None


# --- The fleet's words ------------------------------------------------------------------------


def template_form(**typed: Any) -> dict[str, Any]:
    return {"name": "alert", "subject": "{{ what }}", "body": "{{ vehicle }}", **typed}


def test_a_template_is_checked_when_it_is_typed(admin_client: Client) -> None:
    page = admin_client.post(url("noticetemplate", "add"), template_form(body="{{ vehcile }}"))
    assert "There is no placeholder “vehcile”." in page.text

    admin_client.post(url("noticetemplate", "add"), template_form(is_enabled="on"))
    template = NoticeTemplate.objects.get()
    assert (template.updated_at, str(template.updated_by)) == (NOW, "admin")


def test_a_template_is_shown_on_the_newest_alert(admin_client: Client) -> None:
    template = NoticeTemplate.objects.create(name="alert", subject="{{ what }}", body="{{ lines }}")
    address = url("noticetemplate", "preview", template.pk)
    assert "what is the matter" in admin_client.get(address).text

    make_alert(summary="Oil & <filter>")
    page = admin_client.get(address).text

    assert "Oil &amp; &lt;filter&gt;" in page
    template.body = "{% if %}"
    template.save()
    assert "This does not work" in admin_client.get(address).text
    assert "This does not work" in admin_client.get(url("noticetemplate", "changelist")).text


def test_a_template_is_sent_to_whoever_asks(admin_client: Client, admin_user: Any) -> None:
    template = NoticeTemplate.objects.create(name="summary", subject="{{ title }}", body="x")
    action = {"action": "send_test", "_selected_action": [template.pk]}

    admin_client.post(url("noticetemplate", "changelist"), action)

    assert [message.to for message in outgoing.outbox] == [[admin_user.email]]
    page = admin_client.get(url("noticetemplate", "change", template.pk)).text
    assert "{{ title }}" in page
