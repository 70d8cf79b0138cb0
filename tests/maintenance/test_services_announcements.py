"""What is written to be sent when an alert opens, worsens and ends."""

import pytest

from integrations.models import OutboxEntry, Vehicle
from maintenance.models import Alert, Recipient, Rule
from maintenance.services import acts, announcements, issues, notifying
from tests.factories import NOW, make_alert, make_rule, make_vehicle
from tests.maintenance.cars import HOUR, add_default_rules, open_alert, rule_of, say, states

pytestmark = pytest.mark.django_db

ISSUE, MAIL, RESOLVED = issues.KIND, notifying.MAIL, notifying.RESOLVED_MAIL


@pytest.fixture(autouse=True)
def rules(db: None) -> None:
    add_default_rules()


@pytest.fixture
def car() -> Vehicle:
    return make_vehicle()


def mail_stages() -> list[tuple[str, str]]:
    rows = OutboxEntry.objects.filter(kind=MAIL).order_by("pk")
    return [(entry.payload["stage"], entry.state) for entry in rows]


def send(**match: str) -> None:
    OutboxEntry.objects.filter(state="pending", **match).update(state="done", started_at=NOW)


def test_mail_goes_out_from_soon_and_an_issue_from_due(car: Vehicle) -> None:
    open_alert(car, oil=28)
    assert (mail_stages(), states(ISSUE)) == ([("soon", "pending")], [])

    send(kind=MAIL)
    say(car, NOW + HOUR, oil=15)
    assert mail_stages() == [("soon", "done"), ("due", "pending")]
    assert states(ISSUE) == ["pending"]


def test_a_skipped_stage_is_not_announced(car: Vehicle) -> None:
    open_alert(car, oil=3)
    assert mail_stages() == [("overdue", "pending")]


def test_a_higher_stage_replaces_the_mail_that_nobody_got_yet(car: Vehicle) -> None:
    open_alert(car, oil=28)
    for hour, oil in enumerate((15, 3), start=1):
        say(car, NOW + hour * HOUR, oil=oil)

    assert mail_stages() == [("soon", "cancelled"), ("due", "cancelled"), ("overdue", "pending")]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("soon", ["soon", "due", "overdue"]),
        ("due", ["due", "overdue"]),
        ("overdue", ["overdue"]),
        ("never", []),
    ],
)
def test_a_rule_says_from_which_stage_it_mails(
    car: Vehicle, setting: str, expected: list[str]
) -> None:
    Rule.objects.update(mail_from_stage=setting, issue_from_stage=setting)
    seen = []
    for hour, oil in enumerate((28, 15, 3)):
        if hour == 0:
            open_alert(car, oil=oil)
        else:
            say(car, NOW + hour * HOUR, oil=oil)
        send()
        seen.append(len(states(ISSUE)))

    assert [stage for stage, _ in mail_stages()] == expected
    assert seen[-1] == (1 if expected else 0)
    assert sum(seen) == len(expected)


def test_messages_name_the_alert_the_car_and_the_recipient(car: Vehicle) -> None:
    alert = open_alert(car)
    recipient = Recipient.objects.get()
    mail, issue = (OutboxEntry.objects.get(kind=kind) for kind in (MAIL, ISSUE))

    assert mail.payload == {"alert": alert.pk, "recipient": recipient.pk, "stage": "due"}
    assert issue.payload == {"alert": alert.pk, "life": 1}
    assert mail.about == issue.about == alert
    assert mail.vehicle == issue.vehicle == car
    assert (mail.lane, issue.lane) == ("mail", "fleetio")


def test_what_was_not_sent_is_cancelled_when_the_alert_ends(car: Vehicle) -> None:
    open_alert(car)
    say(car, NOW + HOUR, oil=95)

    assert states(MAIL) == ["cancelled"]
    assert states(ISSUE) == ["cancelled"]
    assert states(RESOLVED) == []


@pytest.mark.parametrize(
    ("state", "expected"),
    [("done", 1), ("unknown", 1), ("sending", 1), ("dead", 0), ("cancelled", 0), ("pending", 0)],
)
def test_the_end_is_told_to_those_who_may_have_heard_of_it(
    car: Vehicle, state: str, expected: int
) -> None:
    open_alert(car)
    started = None if state in {"pending", "cancelled"} else NOW
    OutboxEntry.objects.filter(kind=MAIL).update(state=state, started_at=started)
    say(car, NOW + HOUR, oil=95)

    assert len(states(RESOLVED)) == expected


def test_the_end_is_told_once_to_each_however_many_stages_there_were(car: Vehicle) -> None:
    Rule.objects.update(extra_addresses="a@example.com, b@example.com")
    open_alert(car, oil=28)
    send()
    say(car, NOW + HOUR, oil=15)
    send()
    say(car, NOW + 2 * HOUR, oil=95)

    ended = OutboxEntry.objects.filter(kind=RESOLVED)
    told = Recipient.objects.filter(pk__in=[entry.payload["recipient"] for entry in ended])
    assert ended.count() == 2
    assert {person.email for person in told} == {"a@example.com", "b@example.com"}


def test_every_return_is_announced_and_ends_anew(car: Vehicle) -> None:
    open_alert(car)
    send()
    say(car, NOW + HOUR, oil=95)
    for hour in (24, 36):
        say(car, NOW + hour * HOUR, oil=14)
    send()
    say(car, NOW + 48 * HOUR, oil=95)

    assert (len(states(MAIL)), len(states(RESOLVED)), len(states(ISSUE))) == (2, 2, 1)


def test_a_return_that_nobody_heard_of_ends_in_silence(car: Vehicle) -> None:
    open_alert(car)
    send()
    say(car, NOW + HOUR, oil=95)
    send()
    for hour in (24, 36):
        say(car, NOW + hour * HOUR, oil=14)
    say(car, NOW + 48 * HOUR, oil=95)

    assert states(MAIL) == ["done", "cancelled"]
    assert states(RESOLVED) == ["done"]


def test_a_person_who_resolves_it_cancels_what_waits(car: Vehicle) -> None:
    acts.resolve(open_alert(car), now=NOW)
    assert states(MAIL) == states(ISSUE) == ["cancelled"]


def test_an_issue_that_may_have_been_made_is_not_forgotten(car: Vehicle) -> None:
    open_alert(car)
    OutboxEntry.objects.filter(kind=ISSUE).update(state="unknown", started_at=NOW)
    say(car, NOW + HOUR, oil=95)

    assert states(ISSUE) == ["unknown"]


def test_after_a_not_needed_issue_a_return_looks_before_it_makes_one(car: Vehicle) -> None:
    open_alert(car)
    OutboxEntry.objects.filter(kind=ISSUE).update(state="done", started_at=NOW, result="not sent")
    say(car, NOW + HOUR, oil=95)
    for hour in (24, 36):
        say(car, NOW + hour * HOUR, oil=14)

    assert states(ISSUE) == ["unknown"]


def test_announcing_twice_writes_once() -> None:
    alert = make_alert(rule=rule_of("oil_life"))
    for _ in range(2):
        announcements.announce(alert, notifying.Event.OPENED, now=NOW)

    assert states(ISSUE) == ["pending"]
    assert Recipient.objects.count() == 1


def test_an_alert_whose_rule_is_gone_announces_nothing() -> None:
    alert = make_alert(rule=make_rule())
    Alert.objects.filter(pk=alert.pk).update(rule=None)
    alert.refresh_from_db()
    announcements.announce(alert, notifying.Event.OPENED, now=NOW)

    assert not OutboxEntry.objects.exists()
