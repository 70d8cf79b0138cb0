"""What is left out when its time has come, because of what happened since it was decided."""

from datetime import time, timedelta
from typing import Any

import pytest
from django.core import mail as outgoing

from integrations import registry
from integrations.models import OutboxEntry
from integrations.services import delivery, outbox
from maintenance.models import Alert, MaintenanceMode, Recipient, Severity
from maintenance.services import notifying
from maintenance.services.notifying import Event
from tests.factories import NOW, make_alert, make_recipient, make_rule

pytestmark = pytest.mark.django_db

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
STAFF = "staff@example.com"


@pytest.fixture
def alert() -> Alert:
    return make_alert(rule=make_rule(extra_addresses=STAFF))


def change(alert: Alert, **columns: Any) -> None:
    Alert.objects.filter(pk=alert.pk).update(**columns)
    alert.refresh_from_db()


def tell(alert: Alert, event: Event = Event.OPENED, at: Any = NOW) -> None:
    reader = Recipient.objects.get_or_create(email=STAFF)[0]
    notifying.tell(alert, event=event, now=at, recipients=[reader])


def end(alert: Alert, at: Any) -> None:
    change(alert, status="resolved", resolved_at=at)
    notifying.cancel(alert, reason="over", now=at)
    notifying.tell_resolved(alert, now=at)


def comes_back(alert: Alert, at: Any) -> None:
    change(alert, status="open", resolved_at=None, times_opened=alert.times_opened + 1)
    tell(alert, Event.RETURNED, at)


def deliver(at: Any) -> list[str]:
    before = len(outgoing.outbox)
    delivery.deliver_due(clock=lambda: at, lanes=[registry.MAIL])
    return [str(message.subject).partition(":")[0] for message in outgoing.outbox[before:]]


def result() -> str:
    return OutboxEntry.objects.order_by("pk")[0].result


# --- A person, or the shop, asks for quiet ----------------------------------------------------


@pytest.mark.parametrize("event", [Event.OPENED, Event.REMINDER, Event.ESCALATED])
@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"snoozed_until": NOW + 5 * DAY, "status": "snoozed"}, "it is snoozed"),
        ({"waived_at": NOW, "status": "acknowledged"}, "it will not be fixed"),
    ],
    ids=["snoozed", "waived"],
)
def test_what_waits_is_not_sent_once_somebody_asked_for_quiet(
    alert: Alert, event: Event, columns: dict[str, Any], why: str
) -> None:
    make_recipient(email=STAFF, delivery="daily")
    tell(alert, event)
    change(alert, **columns)

    assert deliver(NOW + DAY) == []
    assert result() == f"not sent: {why}"
    assert notifying.told(alert) == []

    end(alert, NOW + 2 * DAY)
    assert deliver(NOW + 4 * DAY) == []


def test_a_snooze_that_is_over_keeps_nothing_back(alert: Alert) -> None:
    tell(alert)
    change(alert, snoozed_until=NOW)

    assert deliver(NOW) == ["Due"]


def test_what_waits_when_a_vehicle_enters_the_shop_is_said_when_it_leaves(alert: Alert) -> None:
    tell(alert)
    mode = MaintenanceMode.objects.create(vehicle=alert.vehicle, begins_at=NOW)

    assert deliver(NOW + MINUTE) == []
    assert deliver(NOW + HOUR) == []

    mode.delete()
    assert deliver(NOW + 2 * HOUR) == ["Due"]
    assert notifying.told(alert) != []


def test_what_the_shop_keeps_back_comes_in_no_quiet_hours(alert: Alert) -> None:
    make_recipient(email=STAFF, time_zone="UTC", quiet_from=time(13), quiet_until=time(20))
    tell(alert)
    mode = MaintenanceMode.objects.create(vehicle=alert.vehicle, begins_at=NOW)
    deliver(NOW.replace(hour=12, minute=50))
    mode.delete()

    assert deliver(NOW.replace(hour=19)) == []
    assert deliver(NOW.replace(hour=20)) == ["Due"]


def test_what_the_shop_keeps_back_is_dropped_when_it_ends_there(alert: Alert) -> None:
    tell(alert)
    MaintenanceMode.objects.create(vehicle=alert.vehicle, begins_at=NOW)
    deliver(NOW + MINUTE)
    end(alert, NOW + HOUR)

    assert deliver(NOW + DAY) == []
    assert OutboxEntry.objects.get().state == "cancelled"


def test_the_others_in_the_message_are_told(alert: Alert) -> None:
    other = make_alert(rule=alert.rule, vehicle=alert.vehicle, topic="other", summary="Other")
    tell(alert)
    tell(other)
    change(alert, snoozed_until=NOW + DAY)

    deliver(NOW)

    assert [str(message.subject)[:10] for message in outgoing.outbox] == ["Due: Other"]
    assert (notifying.told(alert), len(notifying.told(other))) == ([], 1)


def test_what_may_have_arrived_counts_as_told(alert: Alert) -> None:
    """It is not repeated into the quiet, and its end will be told."""
    tell(alert)
    OutboxEntry.objects.update(state="unknown", started_at=NOW, parcel="p")
    change(alert, snoozed_until=NOW + DAY)

    assert deliver(NOW) == []
    assert result().startswith("unclear whether it arrived")
    end(alert, NOW + HOUR)
    assert deliver(NOW + HOUR) == ["Resolved"]


def test_what_was_left_out_is_no_message_of_this_hour(alert: Alert) -> None:
    make_recipient(email=STAFF, most_per_hour=1)
    tell(alert)
    change(alert, snoozed_until=NOW + DAY)
    deliver(NOW)
    tell(make_alert(rule=alert.rule), at=NOW + MINUTE)

    assert deliver(NOW + MINUTE) == ["Due"]


# --- It is over -------------------------------------------------------------------------------


def test_what_was_given_up_and_is_tried_again_after_the_end_is_not_sent(alert: Alert) -> None:
    tell(alert)
    OutboxEntry.objects.update(state="dead", attempts=20)
    end(alert, NOW + HOUR)
    outbox.retry(OutboxEntry.objects.get(), now=NOW + DAY)

    assert deliver(NOW + DAY) == []
    assert result() == "not sent: it is over"


def test_what_comes_and_goes_is_not_over_while_it_is_gone(alert: Alert) -> None:
    change(alert, flapping_since=NOW)
    tell(alert, Event.FLAPPING)
    change(alert, status="resolved", resolved_at=NOW)

    assert deliver(NOW) == ["Comes and goes"]


# --- It is back -------------------------------------------------------------------------------


@pytest.fixture
def critical(alert: Alert) -> Alert:
    """It is told at night; its end waits for the morning."""
    make_recipient(email=STAFF, time_zone="UTC", quiet_from=time(10), quiet_until=time(20))
    change(alert, severity=Severity.CRITICAL)
    tell(alert)
    assert deliver(NOW) == ["Due"]
    end(alert, NOW + HOUR)
    return alert


def test_an_end_comes_not_after_the_word_that_it_is_back(critical: Alert) -> None:
    comes_back(critical, NOW + 2 * HOUR)
    assert deliver(NOW + 2 * HOUR) == ["Back again"]

    assert deliver(NOW + 10 * HOUR) == []
    ended = OutboxEntry.objects.get(kind=notifying.RESOLVED_MAIL)
    assert (ended.state, ended.result) == ("done", "not sent: it is back")

    end(critical, NOW + 11 * HOUR)
    assert deliver(NOW + 11 * HOUR) == ["Resolved"]


@pytest.mark.parametrize("state", ["cancelled", "dead", "pending"])
def test_an_end_is_told_to_whom_nobody_told_that_it_is_back(critical: Alert, state: str) -> None:
    comes_back(critical, NOW + 2 * HOUR)
    OutboxEntry.objects.filter(dedupe_key__contains=":2:").update(
        state=state, next_attempt_at=NOW + 20 * HOUR
    )

    assert deliver(NOW + 10 * HOUR) == ["Resolved"]


def test_an_end_is_told_though_another_was_told_that_it_is_back(critical: Alert) -> None:
    change(critical, status="open", resolved_at=None, times_opened=2)
    other = make_recipient(email="other@example.com")
    notifying.tell(critical, event=Event.RETURNED, now=NOW + 2 * HOUR, recipients=[other])
    assert deliver(NOW + 2 * HOUR) == ["Back again"]

    assert deliver(NOW + 10 * HOUR) == ["Resolved"]


def test_two_lives_that_are_over_have_two_ends(critical: Alert) -> None:
    comes_back(critical, NOW + 2 * HOUR)
    assert deliver(NOW + 2 * HOUR) == ["Back again"]
    end(critical, NOW + 3 * HOUR)

    deliver(NOW + 10 * HOUR)

    ended = OutboxEntry.objects.filter(kind=notifying.RESOLVED_MAIL)
    assert [(row.state, row.result) for row in ended] == [("done", STAFF)] * 2
