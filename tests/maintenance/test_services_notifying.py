"""Who is told, when, by which ways, and in how many messages."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from django.core import mail as outgoing
from django.core.mail import EmailMultiAlternatives

from integrations import registry
from integrations.models import OutboxEntry
from integrations.services import delivery, parcels
from maintenance.models import Alert, Channel, MaintenanceMode, Recipient, Severity
from maintenance.services import notifying
from maintenance.services.notifying import Event
from tests.factories import (
    NOW,
    make_alert,
    make_driver,
    make_recipient,
    make_rule,
    make_vehicle,
)
from tests.maintenance.receivers_of_channels import Receiver, receiving

pytestmark = pytest.mark.django_db

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
DAY = timedelta(days=1)
LANES = [registry.MAIL, registry.PUSH]
STAFF = "staff@example.com"


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.CHANNELS_ALLOW_PRIVATE = True
    with receiving() as found:
        yield found


def alert_for(*addresses: str, **fields: Any) -> Alert:
    rule = make_rule(extra_addresses=", ".join(addresses or (STAFF,)))
    return make_alert(rule=rule, **fields)


def prefer(email: str = STAFF, **fields: Any) -> Recipient:
    return make_recipient(email=email, **fields)


def tell(alert: Alert, event: Event = Event.OPENED, now: datetime = NOW) -> int:
    return notifying.tell(alert, event=event, now=now)


def end(alert: Alert, now: datetime) -> None:
    Alert.objects.filter(pk=alert.pk).update(status="resolved", resolved_at=now)
    alert.refresh_from_db()
    notifying.cancel(alert, reason="over", now=now)
    notifying.tell_resolved(alert, now=now)


def deliver(now: datetime, gather: timedelta | None = None) -> None:
    delivery.deliver_due(clock=lambda: now, lanes=LANES, gather=gather)


def subjects() -> list[str]:
    return [str(message.subject) for message in outgoing.outbox]


def rows(**match: Any) -> list[OutboxEntry]:
    return list(OutboxEntry.objects.filter(**match).order_by("pk"))


# --- Who --------------------------------------------------------------------------------------


def test_each_recipient_gets_a_row_for_the_mail_and_for_each_channel_that_is_on() -> None:
    recipient = prefer()
    on = Channel.objects.create(recipient=recipient, name="ntfy", url="ntfys://n.example.com/t")
    Channel.objects.create(recipient=recipient, name="off", url="x", is_enabled=False)
    alert = alert_for(STAFF, "other@example.com")

    assert tell(alert) == 3

    assert sorted((row.kind, row.payload.get("channel")) for row in rows()) == [
        ("mail_alert", None),
        ("mail_alert", None),
        ("push_alert", on.pk),
    ]
    assert {row.lane for row in rows(kind="push_alert")} == {registry.PUSH}
    assert tell(alert) == 3, "deciding it again"
    assert len(rows()) == 3


@pytest.mark.parametrize(
    ("preference", "is_told"),
    [
        ({"min_severity": Severity.HIGH}, False),
        ({"min_severity": Severity.MEDIUM}, True),
        ({"kinds": ["oil_life"]}, False),
        ({"kinds": ["service_interval"]}, True),
        ({"unsubscribed_at": NOW}, False),
    ],
)
def test_a_recipient_chooses_what_to_hear(preference: dict[str, Any], is_told: bool) -> None:
    prefer(**preference)

    assert tell(alert_for(severity=Severity.MEDIUM)) == is_told


def test_an_escalation_goes_to_whom_the_rule_names_for_it() -> None:
    prefer("boss@example.com", min_severity=Severity.CRITICAL)
    alert = alert_for()
    assert alert.rule
    alert.rule.escalate_to = "Boss@example.com; new@example.com"

    assert tell(alert, Event.ESCALATED) == 2

    told = Recipient.objects.filter(pk__in=[row.payload["recipient"] for row in rows()])
    assert sorted(one.email for one in told) == ["boss@example.com", "new@example.com"]


def test_keys_name_what_makes_a_notice_another_one() -> None:
    alert = alert_for()
    recipient = prefer()
    tell(alert)
    tell(alert, Event.REMINDER)
    tell(alert, Event.REMINDER, NOW + MINUTE)
    tell(alert, Event.REMINDER, NOW + DAY)

    start = f"mail:{alert.pk}:1:due:{recipient.pk}"
    assert [row.dedupe_key for row in rows()] == [
        start,
        f"{start}:reminder:{NOW:%Y-%m-%d}",
        f"{start}:reminder:{NOW + DAY:%Y-%m-%d}",
    ]


def test_a_stage_that_nobody_heard_of_is_replaced_by_the_next() -> None:
    alert = alert_for(stage="soon")
    tell(alert)
    alert.stage = "due"
    tell(alert, Event.WORSE)

    assert [row.state for row in rows()] == ["cancelled", "pending"]


# --- When -------------------------------------------------------------------------------------


def test_quiet_hours_and_summaries_wait_by_the_recipients_clock_and_come_as_one() -> None:
    prefer(time_zone="America/Denver", quiet_from=time(4), quiet_until=time(7))
    for _ in range(3):
        tell(alert_for())  # 5 a.m. in Denver

    deliver(datetime(2026, 3, 2, 13, 59, tzinfo=UTC))
    assert subjects() == []
    deliver(datetime(2026, 3, 2, 14, 0, tzinfo=UTC))

    assert subjects() == ["3 alerts for 3 vehicles"]


def test_what_is_critical_waits_for_no_summary() -> None:
    prefer(delivery="weekly")
    tell(alert_for(severity=Severity.CRITICAL))
    tell(alert_for(severity=Severity.HIGH))

    deliver(NOW)

    assert len(subjects()) == 1


def test_of_what_ended_before_the_summary_nothing_is_said() -> None:
    prefer(delivery="daily")
    alert = alert_for()
    tell(alert)
    end(alert, NOW + HOUR)

    deliver(NOW + 2 * DAY)

    assert subjects() == []
    assert notifying.told(alert) == []


def test_of_what_could_not_be_sent_before_it_ended_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any, **__: Any) -> int:
        raise ConnectionRefusedError

    alert = alert_for()
    tell(alert)
    with monkeypatch.context() as patch:
        patch.setattr(EmailMultiAlternatives, "send", refuse)
        deliver(NOW)
    end(alert, NOW + HOUR)

    deliver(NOW + 2 * DAY)

    assert subjects() == []
    assert [row.state for row in rows()] == ["cancelled"]


# --- The end ----------------------------------------------------------------------------------


def test_each_who_was_told_hears_once_that_it_is_over(receiver: Receiver) -> None:
    recipient = prefer()
    Channel.objects.create(recipient=recipient, name="hook", url=receiver.url)
    alert = alert_for()
    tell(alert)
    deliver(NOW)
    tell(alert, Event.REMINDER, NOW + DAY)
    deliver(NOW + DAY)

    end(alert, NOW + 2 * DAY)
    notifying.tell_resolved(alert, now=NOW + 2 * DAY)
    deliver(NOW + 2 * DAY)

    words = ["Due:", "Reminder:", "Resolved:"]
    assert [subject.split()[0] for subject in subjects()] == words
    assert [message["title"].split()[0] for message in receiver.messages] == words
    assert notifying.told(alert) == [recipient]


def test_what_was_given_up_is_not_ended() -> None:
    alert = alert_for()
    tell(alert)
    OutboxEntry.objects.update(state="dead")

    end(alert, NOW)

    assert rows(kind="mail_alert_resolved") == []


def test_an_earlier_life_of_the_alert_is_another_story() -> None:
    alert = alert_for()
    tell(alert)
    deliver(NOW)
    alert.times_opened = 2

    assert notifying.told(alert) == []


def test_an_end_and_a_return_in_one_message_is_a_return() -> None:
    alert = alert_for()
    tell(alert)
    deliver(NOW)
    end(alert, NOW)
    Alert.objects.update(status="open", resolved_at=None, times_opened=2)
    alert.refresh_from_db()
    tell(alert, Event.RETURNED)
    deliver(NOW + MINUTE)

    assert [subject.partition(":")[0] for subject in subjects()] == ["Due", "Back again"]


def test_who_unsubscribed_meanwhile_gets_nothing_more() -> None:
    alert = alert_for()
    tell(alert)
    Recipient.objects.update(unsubscribed_at=NOW)
    deliver(NOW)

    assert subjects() == []
    assert rows()[0].result == "not sent: the recipient unsubscribed"


# --- How many ---------------------------------------------------------------------------------


def test_alerts_of_one_vehicle_come_as_one_mail_and_each_vehicle_has_its_own() -> None:
    van, car = make_vehicle(name="Van 7"), make_vehicle(name="Car 3")
    for vehicle, topic in ((van, "a"), (van, "b"), (car, "c")):
        tell(alert_for(vehicle=vehicle, topic=topic))

    deliver(NOW)

    first, second = sorted(subjects())
    assert first.startswith("2 alerts \N{EN DASH} Van 7")
    assert second.startswith("Due: Engine oil service due \N{EN DASH} Car 3")


def test_a_storm_is_one_message_for_each_way(receiver: Receiver) -> None:
    recipient = prefer()
    Channel.objects.create(recipient=recipient, name="hook", url=receiver.url)
    rule = make_rule(extra_addresses=STAFF)
    vehicle = make_vehicle()
    made = [
        Alert(
            rule=rule,
            vehicle=make_vehicle(connection=vehicle.connection),
            kind=rule.kind,
            topic=f"t{n}",
            summary=f"Alert {n}",
            status="open",
            stage="due",
            severity=Severity.CRITICAL if n == 777 else Severity.LOW,
            pending_since=NOW,
            opened_at=NOW,
            times_opened=1,
        )
        for n in range(1000)
    ]
    for n, alert in enumerate(Alert.objects.bulk_create(made)):
        at = NOW + n * 0.06 * SECOND
        tell(alert, now=at)
        if n % 200 == 0:
            deliver(at, parcels.GATHER)  # as workers do while it goes on

    deliver(NOW + MINUTE + parcels.GATHER_MUCH, parcels.GATHER)
    assert len(subjects()) == 1
    deliver(NOW + HOUR, parcels.GATHER)

    assert subjects() == ["1000 alerts for 1000 vehicles"]
    assert [message["title"] for message in receiver.messages] == subjects()
    text = str(outgoing.outbox[0].body)
    assert text.index("Alert 777") < text.index("Alert 0\n"), "what matters most comes first"
    assert text.count("- Due:") == 50
    assert "And 950 more vehicles." in text
    assert "/admin/maintenance/alert/" in text
    assert {row.state for row in rows()} == {"done"}
    assert len({row.parcel for row in rows()}) == 2


def test_what_is_more_than_wanted_in_an_hour_comes_together_when_the_hour_is_over() -> None:
    prefer(most_per_hour=2)
    for n in range(5):
        at = NOW + n * MINUTE
        tell(alert_for(), now=at)
        deliver(at)
    assert len(subjects()) == 2

    deliver(NOW + HOUR - SECOND)
    assert len(subjects()) == 2
    deliver(NOW + HOUR)
    assert subjects()[2:] == ["3 alerts for 3 vehicles"]


def test_what_is_critical_is_not_counted_out() -> None:
    prefer(most_per_hour=1)
    tell(alert_for())
    deliver(NOW)
    tell(alert_for(severity=Severity.CRITICAL), now=NOW + MINUTE)
    deliver(NOW + MINUTE)

    assert len(subjects()) == 2


def test_what_a_shop_held_is_one_summary() -> None:
    van = make_vehicle(name="Van 7")
    mode = MaintenanceMode.objects.create(vehicle=van, begins_at=NOW)
    held = [
        alert_for(vehicle=van, topic=f"t{n}", status="resolved", resolved_at=NOW) for n in range(2)
    ]

    assert notifying.tell_held(mode, held, now=NOW) == 2
    deliver(NOW)

    assert len(subjects()) == 1
    assert subjects()[0].startswith("2 alerts \N{EN DASH} Van 7")
    assert "Came and went: Due" in str(outgoing.outbox[0].body)
    assert notifying.told(held[0]) == []
    assert notifying.tell_held(mode, held, now=NOW + HOUR) == 2
    assert len(rows()) == 2


def test_a_channel_gets_a_message_that_it_does_not_take_three_times_at_most(
    receiver: Receiver,
) -> None:
    Channel.objects.create(recipient=prefer(), name="hook", url=receiver.url)
    receiver.status = 500
    tell(alert_for())

    for n in range(6):
        deliver(NOW + n * DAY)

    assert len(receiver.messages) == 3
    assert [row.state for row in rows(lane=registry.PUSH)] == ["dead"]


# --- What a mail carries ----------------------------------------------------------------------


def test_every_alert_mail_can_be_unsubscribed_from_with_one_click() -> None:
    van = make_vehicle()
    alert = alert_for(vehicle=van)
    tell(alert)
    deliver(NOW)
    end(alert, NOW + HOUR)
    for n in range(6):
        tell(alert_for(topic=f"t{n}"), now=NOW + HOUR)
    deliver(NOW + HOUR)

    assert len(outgoing.outbox) == 2
    for message in outgoing.outbox:
        headers = message.message()
        assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        address = str(headers["List-Unsubscribe"])
        assert address.startswith("<https://portal.example.com/unsubscribe/")
        assert address.strip("<>") in str(message.body)


def test_a_mail_that_goes_out_again_is_the_same_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(2):
        tell(alert_for(topic=f"t{n}", vehicle=None))
    deliver(NOW)
    OutboxEntry.objects.update(state="sending", lease_until=NOW)  # killed before it was noted
    tell(alert_for(topic="new", vehicle=None), now=NOW + MINUTE)
    deliver(NOW + MINUTE)

    ids = [message.message()["Message-ID"] for message in outgoing.outbox]
    assert len(ids) == 3
    assert sorted(map(ids.count, ids)) == [1, 2, 2]


def test_a_driver_is_led_neither_into_the_admin_nor_to_staffs_buttons(receiver: Receiver) -> None:
    driver = prefer("dana@example.com", driver=make_driver(email="dana@example.com"))
    Channel.objects.create(recipient=driver, name="hook", url=receiver.url)
    van = make_vehicle()
    for n in range(2):
        tell(alert_for("dana@example.com", vehicle=van, topic=f"t{n}"))
    deliver(NOW)
    tell(alert_for("dana@example.com"), now=NOW + MINUTE)
    deliver(NOW + MINUTE)

    assert (len(outgoing.outbox), len(receiver.messages)) == (2, 2)
    texts = [message["message"] for message in receiver.messages]
    for mail in outgoing.outbox:
        assert isinstance(mail, EmailMultiAlternatives)
        texts += [str(mail.body), str(mail.alternatives[0][0])]
    for text in texts:
        assert "/admin/" not in text
        assert "/alerts/" not in text


def test_a_channel_holds_no_link_that_acts_in_somebodys_name(receiver: Receiver) -> None:
    Channel.objects.create(recipient=prefer(), name="hook", url=receiver.url)
    tell(alert_for())
    deliver(NOW)

    assert "/alerts/" in str(outgoing.outbox[0].body)
    (message,) = receiver.messages
    assert "/alerts/" not in message["message"]
    assert "/unsubscribe/" not in message["message"]
    assert "/admin/maintenance/alert/" in message["message"]


def test_nothing_that_is_stored_holds_a_link_or_an_address(receiver: Receiver) -> None:
    Channel.objects.create(recipient=prefer(), name="hook", url=receiver.url)
    tell(alert_for())
    deliver(NOW)

    stored = str([vars(row) for row in rows()])
    assert "hook-with-a-secret" not in stored
    assert "/alerts/" not in stored
