"""What becomes of alerts by the clock alone."""

from datetime import datetime

import pytest
from django.core import mail

from integrations.models import Activity, OutboxEntry, Vehicle
from integrations.services import delivery, leases
from maintenance.models import Alert, Recipient, Rule
from maintenance.services import acts, issues, modes, notifying
from maintenance.services.tending import tend
from tests.factories import NOW, make_vehicle
from tests.maintenance.cars import DAY, HOUR, open_alert, say

pytestmark = pytest.mark.django_db
Status = Alert.Status


@pytest.fixture(autouse=True)
def addresses(settings: object) -> None:
    settings.MAINTENANCE_EMAILS = ["shop@example.com"]  # type: ignore[attr-defined]


@pytest.fixture
def car() -> Vehicle:
    return make_vehicle()


def deliver(now: datetime) -> list[str]:
    """Send what is due, and return the new subjects."""
    before = len(mail.outbox)
    delivery.deliver_due(clock=lambda: now, lanes=["mail"])
    return [str(message.subject) for message in mail.outbox[before:]]


def told() -> int:
    """How many messages about alerts were written and not cancelled."""
    rows = OutboxEntry.objects.filter(kind=notifying.MAIL)
    return rows.exclude(state=OutboxEntry.State.CANCELLED).count()


def test_what_nobody_takes_is_repeated_at_the_rules_pace(car: Vehicle) -> None:
    alert = open_alert(car)
    assert len(deliver(NOW)) == 1

    assert tend(now=NOW + 7 * DAY - HOUR).done == 0
    assert tend(now=NOW + 7 * DAY).done == 1
    assert tend(now=NOW + 7 * DAY).done == 0
    assert len(deliver(NOW + 7 * DAY)) == 1
    alert.refresh_from_db()
    assert alert.remind_at == NOW + 14 * DAY


def test_reminders_stop_when_somebody_takes_it(car: Vehicle) -> None:
    acts.acknowledge(open_alert(car), now=NOW)

    assert tend(now=NOW + 30 * DAY).done == 0
    assert told() == 1


def test_a_rule_may_never_repeat(car: Vehicle) -> None:
    Rule.objects.update(repeat_days=0)
    open_alert(car)

    assert tend(now=NOW + 30 * DAY).done == 0


def test_a_worse_stage_is_announced_although_somebody_took_it(car: Vehicle) -> None:
    alert = open_alert(car)
    deliver(NOW)
    acts.acknowledge(alert, now=NOW)
    say(car, NOW + DAY, oil=3)

    assert told() == 2
    alert.refresh_from_db()
    assert (alert.status, alert.remind_at) == (Status.ACKNOWLEDGED, None)


def test_a_snooze_ends_by_itself_and_says_again_what_is_left(car: Vehicle) -> None:
    alert = open_alert(car)
    deliver(NOW)
    acts.snooze(alert, until=NOW + 3 * DAY, now=NOW)
    say(car, NOW + DAY, oil=3)
    assert told() == 1  # quiet, also about the worse stage

    assert tend(now=NOW + 3 * DAY - HOUR).done == 0
    assert tend(now=NOW + 3 * DAY).done == 1
    alert.refresh_from_db()
    assert (alert.status, alert.snoozed_until) == (Status.OPEN, None)
    assert alert.remind_at == NOW + 10 * DAY
    assert told() == 2


def test_what_becomes_due_while_it_is_snoozed_gets_its_issue_afterwards(car: Vehicle) -> None:
    alert = open_alert(car, oil=25)  # due soon: too early for Fleetio
    acts.snooze(alert, until=NOW + 3 * DAY, now=NOW)
    say(car, NOW + DAY, oil=12)
    assert not OutboxEntry.objects.filter(kind=issues.KIND).exists()

    tend(now=NOW + 3 * DAY)

    assert OutboxEntry.objects.filter(kind=issues.KIND).count() == 1


def test_a_snooze_that_outlives_its_alert_says_only_that_it_is_over(car: Vehicle) -> None:
    alert = open_alert(car)
    deliver(NOW)
    acts.snooze(alert, until=NOW + 3 * DAY, now=NOW)
    say(car, NOW + DAY, oil=90)

    assert OutboxEntry.objects.filter(kind=notifying.RESOLVED_MAIL).count() == 1
    assert tend(now=NOW + 3 * DAY).done == 0
    assert told() == 1


def test_a_snooze_looks_again_before_it_speaks(car: Vehicle) -> None:
    alert = open_alert(car)
    acts.snooze(alert, until=NOW + 3 * DAY, now=NOW)
    # Serviced meanwhile, and nobody evaluated the car since.
    alert.rule = None
    Rule.objects.update(is_enabled=False)

    tend(now=NOW + 3 * DAY)

    alert = Alert.objects.get(pk=alert.pk)
    assert alert.status == Status.RESOLVED
    assert told() == 0  # the first was never sent, and nothing needs saying now


def test_what_nobody_takes_in_time_is_escalated_once(car: Vehicle) -> None:
    Rule.objects.update(escalate_after_hours=24, escalate_to="boss@example.com")
    alert = open_alert(car)
    assert Alert.objects.get(escalate_at=NOW + DAY) == alert

    tend(now=NOW + DAY)
    tend(now=NOW + 2 * DAY)

    alert.refresh_from_db()
    assert (alert.escalate_at, alert.escalated_at) == (None, NOW + DAY)
    assert Activity.objects.filter(what__startswith="Escalated").count() == 1


@pytest.mark.parametrize("act", [acts.acknowledge, acts.waive, acts.resolve])
def test_what_somebody_takes_is_not_escalated(car: Vehicle, act: object) -> None:
    Rule.objects.update(escalate_after_hours=24, escalate_to="boss@example.com")
    act(open_alert(car), now=NOW + HOUR)  # type: ignore[operator]

    tend(now=NOW + 2 * DAY)

    assert not Activity.objects.filter(what__startswith="Escalated").exists()


def test_an_escalation_that_waits_for_a_summary_outlives_the_next_reminder(car: Vehicle) -> None:
    Rule.objects.update(escalate_after_hours=24, escalate_to="boss@example.com", repeat_days=2)
    Recipient.objects.create(email="boss@example.com", delivery="weekly")
    open_alert(car)
    tend(now=NOW + DAY)

    tend(now=NOW + 2 * DAY)  # the reminder

    boss = OutboxEntry.objects.filter(bundle=f"mail:{Recipient.objects.get(delivery='weekly').pk}")
    assert [row.state for row in boss] == [OutboxEntry.State.PENDING]


def test_an_escalation_that_waited_is_not_sent_once_somebody_took_it(car: Vehicle) -> None:
    Rule.objects.update(escalate_after_hours=24, escalate_to="boss@example.com")
    Recipient.objects.create(email="boss@example.com", delivery="weekly")
    alert = open_alert(car)
    deliver(NOW)
    tend(now=NOW + DAY)
    acts.acknowledge(alert, now=NOW + DAY + HOUR)

    assert deliver(NOW + 9 * DAY) == []


def test_what_comes_back_is_escalated_again(car: Vehicle) -> None:
    Rule.objects.update(escalate_after_hours=24, escalate_to="boss@example.com")
    open_alert(car)
    tend(now=NOW + DAY)
    say(car, NOW + 2 * DAY, oil=90)
    open_alert(car, NOW + 4 * DAY)

    tend(now=NOW + 5 * DAY)

    assert Activity.objects.filter(what__startswith="Escalated").count() == 2


def test_what_came_and_went_and_then_stays_is_repeated(car: Vehicle) -> None:
    alert = flap(car, 5)
    deliver(NOW + 5 * DAY)

    assert tend(now=NOW + 12 * DAY).done == 1
    alert.refresh_from_db()
    assert alert.remind_at == NOW + 19 * DAY


def test_who_took_what_comes_and_goes_has_it_still(car: Vehicle) -> None:
    alert = flap(car, 3)
    acts.acknowledge(alert, now=NOW + 3 * DAY)
    say(car, NOW + 4 * DAY - 14 * HOUR, oil=90)
    open_alert_again(car, NOW + 4 * DAY)

    alert.refresh_from_db()
    assert (alert.status, alert.remind_at) == (Status.ACKNOWLEDGED, None)


def open_alert_again(car: Vehicle, at: datetime) -> None:
    say(car, at - 12 * HOUR, oil=14)
    say(car, at, oil=14)


def test_a_snooze_that_ends_in_the_shop_is_said_when_that_is_over(car: Vehicle) -> None:
    Rule.objects.update(repeat_days=0)
    alert = open_alert(car)
    deliver(NOW)
    acts.snooze(alert, until=NOW + DAY, now=NOW)
    mode = modes.begin(vehicle=car, now=NOW)
    tend(now=NOW + DAY)
    assert told() == 1

    modes.end(mode, now=NOW + 2 * DAY)

    assert told() == 2


def test_what_will_not_be_fixed_stays_quiet_after_the_shop_too(car: Vehicle) -> None:
    Rule.objects.update(escalate_after_hours=24, escalate_to="boss@example.com")
    alert = open_alert(car)
    deliver(NOW)
    mode = modes.begin(vehicle=car, now=NOW)
    tend(now=NOW + 7 * DAY)  # a reminder is held
    acts.waive(alert, now=NOW + 7 * DAY)
    modes.end(mode, now=NOW + 8 * DAY)

    assert tend(now=NOW + 30 * DAY).done == 0
    assert told() == 1


def test_a_reminder_that_nobody_wants_does_not_come_round_each_minute(car: Vehicle) -> None:
    alert = open_alert(car)
    Alert.objects.filter(pk=alert.pk).update(waived_at=NOW)

    tend(now=NOW + 8 * DAY)

    assert tend(now=NOW + 8 * DAY).done == 0


def test_one_modes_trouble_does_not_stop_the_alerts(
    car: Vehicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes.begin(vehicle=make_vehicle(), ends_at=NOW + DAY, now=NOW)
    open_alert(car)

    def fail(*args: object, **kwargs: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr("maintenance.services.tending.modes.end", fail)
    result = tend(now=NOW + 7 * DAY)

    assert (result.done, result.failed) == (1, 1)


def flap(car: Vehicle, times: int, *, start: datetime = NOW) -> Alert:
    """Let it come back so often, a day apart, ending open."""
    alert = open_alert(car, start)
    for day in range(1, times + 1):
        say(car, start + day * DAY - 14 * HOUR, oil=90)
        open_alert(car, start + day * DAY)
    alert.refresh_from_db()
    return alert


def test_what_comes_and_goes_is_said_once(car: Vehicle) -> None:
    alert = flap(car, 2)
    deliver(NOW + 2 * DAY)
    assert alert.flapping_since is None

    say(car, NOW + 3 * DAY - 14 * HOUR, oil=90)
    deliver(NOW + 3 * DAY - 14 * HOUR)
    open_alert(car, NOW + 3 * DAY)
    alert.refresh_from_db()
    assert alert.flapping_since == NOW + 3 * DAY
    assert len(deliver(NOW + 3 * DAY)) == 1

    for day in (4, 5, 6):
        say(car, NOW + day * DAY - 14 * HOUR, oil=90)
        assert deliver(NOW + day * DAY - 14 * HOUR) == []
        open_alert(car, NOW + day * DAY)
        assert deliver(NOW + day * DAY) == []


def test_what_came_and_went_is_called_over_when_it_has_stayed_away_for_a_day(car: Vehicle) -> None:
    alert = flap(car, 4)
    deliver(NOW + 4 * DAY)
    mail.outbox.clear()
    say(car, NOW + 5 * DAY, oil=90)

    assert tend(now=NOW + 6 * DAY - HOUR).done == 0
    assert deliver(NOW + 6 * DAY - HOUR) == []
    assert tend(now=NOW + 6 * DAY).done == 1
    assert tend(now=NOW + 6 * DAY).done == 0
    assert len(deliver(NOW + 6 * DAY)) == 1
    alert.refresh_from_db()
    assert (alert.flapping_since, alert.returns) == (None, [])


def test_a_person_ends_at_once_what_comes_and_goes(car: Vehicle) -> None:
    alert = flap(car, 3)
    deliver(NOW + 3 * DAY)
    mail.outbox.clear()

    acts.resolve(alert, now=NOW + 3 * DAY)

    assert len(deliver(NOW + 3 * DAY)) == 1
    assert tend(now=NOW + 9 * DAY).done == 0


def test_of_many_each_is_told_of_at_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who gathers what comes within seconds must see that more is coming."""
    for _ in range(3):
        open_alert(make_vehicle())
    OutboxEntry.objects.all().delete()
    later = NOW + 7 * DAY
    moments = iter([later + n * HOUR for n in range(9)])
    monkeypatch.setattr(leases, "going_on", lambda now: lambda: next(moments))

    assert tend(now=later).done == 3

    written = OutboxEntry.objects.filter(kind=notifying.MAIL).values_list("created_at", flat=True)
    assert len(set(written)) == 3


def test_one_alerts_trouble_does_not_stop_the_others(
    car: Vehicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = open_alert(car), open_alert(make_vehicle())
    real = notifying.tell

    def fail_for_the_first(alert: Alert, **kwargs: object) -> int:
        if alert.pk == first.pk:
            raise ZeroDivisionError
        return real(alert, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr("maintenance.services.announcements.notifying.tell", fail_for_the_first)
    result = tend(now=NOW + 7 * DAY)

    assert (result.done, result.failed) == (1, 1)
    first.refresh_from_db()
    second.refresh_from_db()
    assert first.remind_at == NOW + 7 * DAY  # tried again
    assert second.remind_at == NOW + 14 * DAY
