"""The fleet's own words: what they can say, what they cannot reach, and what if they are broken."""

import tracemalloc
from typing import Any

import pytest
from django.core import mail as outgoing
from django.core.exceptions import ValidationError

from integrations.models import Activity, OutboxEntry
from integrations.registry import MAIL
from integrations.services import delivery
from maintenance.models import Alert, NoticeTemplate
from maintenance.services import fleet_words, notifying
from maintenance.services.notifying import Event
from tests.factories import NOW, make_alert, make_rule, make_vehicle

pytestmark = pytest.mark.django_db

Name = NoticeTemplate.Name


def write(name: str = "alert", **fields: Any) -> NoticeTemplate:
    values = {"subject": "{{ fleet }}: {{ what }}", "body": "{{ vehicle }}\n{{ stage }}", **fields}
    return NoticeTemplate.objects.create(name=name, **values)


def told(**fields: Any) -> Alert:
    values = {"rule": make_rule(extra_addresses="a@example.com"), **fields}
    alert = make_alert(**values)
    notifying.tell(alert, event=Event.OPENED, now=NOW)
    return alert


def deliver() -> list[Any]:
    delivery.deliver_due(clock=lambda: NOW, lanes=[MAIL])
    return outgoing.outbox


def test_an_alert_is_told_in_the_fleets_words() -> None:
    write()
    told(vehicle=make_vehicle(name="Joe's <Van>"), summary="Oil & more")

    (message,) = deliver()

    assert message.subject == "Your fleet: Oil & more"
    assert str(message.body).startswith("Joe's <Van>")
    assert "/unsubscribe/" in str(message.body)
    html = str(message.alternatives[0][0])
    assert "Joe&#x27;s &lt;Van&gt;" in html
    assert "<br>Due" in html


def test_words_that_are_not_in_use_are_not_used() -> None:
    write(is_enabled=False)
    told()

    assert deliver()[0].subject.startswith("Due: ")


def test_a_summary_has_words_of_its_own() -> None:
    body = (
        "{% for group in groups %}{{ group.vehicle }}: {% for alert in group.alerts %}"
        "{{ alert.what }}{% endfor %} {% endfor %}"
    )
    write("summary", subject="{{ title|upper }}", body=body)
    van = make_vehicle(name="Van 7")
    for n in range(2):
        told(vehicle=van, topic=f"t{n}", summary=f"Alert {n}")

    (message,) = deliver()

    assert message.subject.startswith("2 ALERTS")
    assert "Alert 0Alert 1" in str(message.body)


@pytest.mark.parametrize(
    "body",
    [
        "{% if %}",
        "{{ what|nothing }}",
        "{% for x in lines %}",
        "{% include 'x' %}",
        "{{ x.y|cut }}",
    ],
)
def test_a_broken_template_loses_no_notice_and_is_told_once_a_day(body: str) -> None:
    template = write(body=body)
    for _ in range(3):
        told(vehicle=make_vehicle())

    assert [message.subject.partition(":")[0] for message in deliver()] == ["Due"] * 3

    assert {entry.state for entry in OutboxEntry.objects.all()} == {"done"}
    (line,) = Activity.objects.filter(about_text=str(template))
    assert line.what.startswith("The template was not used, it is broken")


@pytest.mark.parametrize(
    "source",
    [
        "{% load i18n %}",
        "{% include 'maintenance/emails/alert_body.txt' %}",
        "{% extends 'integrations/base.html' %}",
        "{% debug %}",
        "{% url 'home' %}",
        "{% csrf_token %}",
        "{% now 'Y' %}",
        "{% lorem 100000 w %}",
        "{{ what|rjust:999999999 }}",
        "{{ what|stringformat:'999999999d' }}",
        "{{ what.__class__ }}",
        "{{ lines.0._x }}",
        "{{ settings.SECRET_KEY }}",
        "{{ alert.vehicle.connection }}",
        "{{ vehcile }}",
        "{% if %}",
    ],
)
def test_what_reaches_further_or_is_misspelt_is_refused_when_it_is_typed(source: str) -> None:
    with pytest.raises(ValidationError):
        fleet_words.check(Name.ALERT, source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'aaaaaaaaaa'" + "|join:'bbbbbbbbb'" * 5 + "|length }}",
        "{{ '1'|floatformat:400000 }}",
        "{% if '1'|floatformat:'+400000g' %}{% endif %}",
    ],
    ids=["join", "floatformat", "written nowhere"],
)
def test_no_filter_makes_a_text_huge(source: str) -> None:
    memory, _error = checked(source)

    assert memory < 1_000_000


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in 'LONG' %}{% for b in 'LONG' %}{% for c in 'LONG' %}{% endfor %}"
        "{% endfor %}{% endfor %}",
        "{% for a in 'LONG' %}{% for b in 'LONG' %}LONG{% endfor %}{% endfor %}",
        "{% for a in 'LONG' %}{% for b in 'LONG' %}{{ what }}{{ 'LONG' }}{% endfor %}{% endfor %}",
        "{% for a in 'LONG' %}{% if a %}{% for b in 'LONG' %}{% firstof 'LONG' %}{% endfor %}"
        "{% endif %}{% endfor %}",
        "{% comment %}LONG{% endcomment %}" * 40,
    ],
    ids=["nothing written", "texts", "values", "tags", "source"],
)
def test_a_template_does_and_writes_so_much_and_no_more(source: str) -> None:
    """It is stopped before it is done, not when it is too late."""
    memory, error = checked(source.replace("LONG", "x" * 800))

    assert "it does too much" in error or "it writes too much" in error or "too long" in error
    assert memory < 5_000_000


def checked(source: str) -> tuple[int, str]:
    """The most bytes that checking it took at once, and why it was refused."""
    tracemalloc.start()
    try:
        fleet_words.check(Name.ALERT, source)
    except ValidationError as exc:
        return tracemalloc.get_traced_memory()[1], str(exc)
    else:
        return tracemalloc.get_traced_memory()[1], ""
    finally:
        tracemalloc.stop()


def test_what_was_a_list_and_is_empty_can_be_joined() -> None:
    fleet_words.check(Name.ALERT, "{{ lines|join:', ' }}")
    template = NoticeTemplate(subject="x", body="{{ lines|join:', ' }} {{ what|floatformat:2 }}")
    for lines, joined in (([], ""), ("", ""), (["a", "b"], "a, b")):
        words = fleet_words.fill_in(template, {"lines": lines, "what": "1.5"})
        assert words.body == f"{joined} 1.50"


@pytest.mark.parametrize("name", list(Name))
def test_a_full_message_is_not_too_much(name: NoticeTemplate.Name) -> None:
    alert = {"what": "w" * 100, "stage": "Due"}
    group = {"vehicle": "v" * 60, "act_url": "u" * 100, "more": "3", "alerts": [alert] * 20}
    body = (
        "{% for group in groups %}{{ group.vehicle }}{% if group.act_url %}{{ group.act_url }}"
        "{% endif %}{% for alert in group.alerts %}{% if forloop.first %}-{% else %}+{% endif %}"
        " {{ alert.stage|upper }}: {{ alert.what|truncatechars:60 }}{% endfor %}{% endfor %}"
    )

    words = fleet_words.fill_in(
        NoticeTemplate(name=name, subject="x", body=body), {"groups": [group] * 50}
    )

    assert words.body.count("DUE") == 1000


@pytest.mark.parametrize("name", list(Name))
def test_every_placeholder_can_be_used(name: NoticeTemplate.Name) -> None:
    for placeholder in fleet_words.PLACEHOLDERS[name]:
        fleet_words.check(name, f"{{{{ {placeholder} }}}}{{% if {placeholder} %}}x{{% endif %}}")


def test_nothing_but_plain_texts_and_lists_is_handed_out() -> None:
    seen: list[Any] = []

    def look(value: Any) -> None:
        assert type(value) in {str, list, dict}, value
        seen.append(value)
        for inner in value.values() if isinstance(value, dict) else value:
            if not isinstance(value, str):
                look(inner)

    from maintenance.models import Recipient, Stage
    from maintenance.services import notice_content
    from maintenance.services.notice_content import Item

    alerts = [told(vehicle=make_vehicle()) for _ in range(2)]
    items = [Item(alert=alert, stage=Stage.DUE) for alert in alerts]
    reader = Recipient.objects.get()
    for name, some in ((Name.ALERT, items[:1]), (Name.SUMMARY, items)):
        look(fleet_words.plain(name, notice_content.context(some, reader, now=NOW)))
    assert len(seen) > 20
