"""What staff do with rules, alerts, services and settings in the admin."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import flatten
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.contrib.staticfiles.finders import find
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from fleetportal import clock
from integrations.clients import readings as codes
from integrations.models import OutboxEntry, PortalSettings, Signal, Vehicle, VehicleGroup
from maintenance.admin import rule_words
from maintenance.admin.rule_form import OWNED
from maintenance.models import Alert, FleetioIssue, Rule, ServiceRecord
from maintenance.services import coverage
from tests import factories as make
from tests.factories import NOW

pytestmark = pytest.mark.django_db
ADD_RULE = "admin:maintenance_rule_add"
MILE = 1.609344


@pytest.fixture(autouse=True)
def fixed_time() -> Iterator[None]:
    clock.set_source(lambda: NOW)
    Rule.objects.all().delete()
    yield
    clock.set_source(None)


def listing(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def change(row: Model) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def act(client: Client, action: str, *rows: Model, **typed: Any) -> Any:
    data = {"action": action, ACTION_CHECKBOX_NAME: [row.pk for row in rows], **typed}
    return client.post(listing(type(rows[0])), data)


def said(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def rule_form(**typed: Any) -> dict[str, Any]:
    form = {
        "name": "Oil",
        "kind": "service_interval",
        "topic": "engine-oil",
        "is_enabled": "on",
        "distance_km": "5000",
        "freshness_hours": "72",
        "reopen_days": "14",
        "priority": "no_priority",
        "mail_from_stage": "soon",
        "issue_from_stage": "due",
    }
    return {**form, **typed}


# --- Rules ------------------------------------------------------------------------------------


def test_a_distance_is_typed_in_the_portals_unit_and_does_not_drift(admin_client: Client) -> None:
    admin_client.post(reverse(ADD_RULE), rule_form())
    rule = Rule.objects.get()

    assert rule.distance_km == pytest.approx(5000 * MILE)
    assert 'value="5000"' in admin_client.get(change(rule)).content.decode()
    assert "every 5,000 mi" in admin_client.get(listing(Rule)).content.decode()


def test_saving_a_distance_of_the_other_unit_unchanged_keeps_it_exactly(
    admin_client: Client,
) -> None:
    rule = make.make_rule(distance_km=8000.0)

    admin_client.post(change(rule), rule_form(distance_km="4970.97"))

    rule.refresh_from_db()
    assert rule.name == "Oil"
    assert rule.distance_km == 8000.0


def test_a_fleet_that_counts_kilometres_types_kilometres(admin_client: Client) -> None:
    PortalSettings(distance_unit="km").save()

    admin_client.post(reverse(ADD_RULE), rule_form(distance_km="8000"))

    assert Rule.objects.get().distance_km == 8000


@pytest.mark.parametrize(
    ("typed", "field", "words"),
    [
        ({"distance_km": ""}, "distance_km", "Give a distance"),
        ({"distance_km": "0.5"}, "distance_km", "at least 1 mi"),
        ({"distance_km": "1e300"}, "distance_km", "No car"),
        ({"distance_km": "nan"}, "distance_km", "number"),
        ({"distance_km": "far"}, "distance_km", "number"),
        ({"days": "2000000000"}, "days", "less than or equal"),
        ({"freshness_hours": "0"}, "freshness_hours", "at least an hour"),
        ({"year_from": "2022", "year_to": "2019"}, "year_to", "before the first year"),
        ({"extra_addresses": "nobody"}, "extra_addresses", "no email address"),
        ({"kind": "oil_life", "due_below": "50"}, "due_below", "must not decrease"),
        ({"kind": "fuel_level", "due_below": "50"}, "clear_at", "must not be below"),
        ({"due_on": "2026-05-04"}, "due_on", "not both in one rule"),
        ({"distance_km": "", "due_odometer_km": "0"}, "due_odometer_km", "at least 1 mi"),
        ({"kind": "tire_pressure", "low_kpa": "5"}, "low_kpa", "from 8 to 217 psi"),
        ({"kind": "tire_pressure", "high_kpa": "28"}, "high_kpa", "low and high at once"),
    ],
)
def test_bad_input_is_told_at_its_field(
    admin_client: Client, typed: dict[str, str], field: str, words: str
) -> None:
    page = admin_client.post(reverse(ADD_RULE), rule_form(**typed))

    assert words in str(page.context["adminform"].form.errors[field])
    assert not Rule.objects.exists()


def test_what_another_kind_needs_is_forgotten(admin_client: Client) -> None:
    typed = rule_form(kind="oil_life", distance_km="5000", days="x", patterns="P0*")

    admin_client.post(reverse(ADD_RULE), typed)

    rule = Rule.objects.get()
    assert (rule.distance_km, rule.days, rule.patterns) == (None, None, "")


def test_the_form_of_a_rule_shows_what_its_kind_needs(admin_client: Client) -> None:
    text = admin_client.get(change(make.make_rule(kind="oil_life"))).content.decode()

    assert "id_due_below" in text
    assert "id_distance_km" not in text


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("fuel_level", {"due_below", "clear_at"}),
        ("state_of_charge", {"due_below", "clear_at"}),
        ("tire_pressure", {"placard_front_kpa", "placard_rear_kpa", "low_kpa", "high_kpa"}),
        ("service_interval", {"distance_km", "days", "due_odometer_km", "due_on"}),
        ("stale_data", set()),
        ("connection", set()),
    ],
)
def test_a_rule_shows_the_columns_of_its_kind_and_no_others(
    admin_client: Client, kind: str, columns: set[str]
) -> None:
    page = admin_client.get(change(make.make_rule(kind=kind, topic=kind)))
    fieldsets = page.context["adminform"].fieldsets
    shown = {name for _title, part in fieldsets for name in flatten(part["fields"])}

    assert shown & set(OWNED) == columns


def test_a_new_rule_hides_every_part_that_is_not_of_the_chosen_kind(admin_client: Client) -> None:
    fieldsets = admin_client.get(reverse(ADD_RULE)).context["adminform"].fieldsets
    names = [name for _title, part in fieldsets for name in flatten(part["fields"])]
    sheet = Path(str(find("fleetportal/admin.css"))).read_text()

    assert len(names) == len(set(names)), "each field stands in the form once"
    assert set(OWNED) <= set(names)
    for kind in Rule.Kind:
        chosen = f'option[value="{kind}"]:checked) .fp-kind:not(.fp-kind-{kind})'
        assert chosen in sheet


def test_a_pressure_is_typed_in_psi_and_does_not_drift(admin_client: Client) -> None:
    typed = rule_form(kind="tire_pressure", distance_km="", placard_front_kpa="35", low_kpa="28")
    admin_client.post(reverse(ADD_RULE), typed)
    rule = Rule.objects.get()

    assert rule.placard_front_kpa == pytest.approx(241.3, abs=0.1)
    page = admin_client.get(change(rule)).content.decode()
    assert 'value="35"' in page
    assert "Placard, front (psi)" in page
    shown = admin_client.get(listing(Rule)).content.decode()
    assert "front placard 35 psi: low at 80 %, high at 125 %; low at 28 psi" in shown


def test_a_fleet_that_counts_kilometres_types_kilopascal(admin_client: Client) -> None:
    PortalSettings(distance_unit="km").save()

    admin_client.post(reverse(ADD_RULE), rule_form(kind="tire_pressure", low_kpa="200"))

    assert Rule.objects.get().low_kpa == 200
    assert "low at 200 kPa" in admin_client.get(listing(Rule)).content.decode()


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"due_on": "2026-05-04"}, "once, on May 4, 2026"),
        ({"due_odometer_km": "60000"}, "once, at 60,000 mi"),
        (
            {"due_odometer_km": "60000", "due_on": "2026-05-04"},
            "once, at 60,000 mi or on May 4, 2026, whichever is first",
        ),
    ],
)
def test_a_service_that_is_due_once_is_shown_so(
    admin_client: Client, typed: dict[str, str], words: str
) -> None:
    admin_client.post(reverse(ADD_RULE), rule_form(distance_km="", **typed))

    assert words in admin_client.get(listing(Rule)).content.decode()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("fuel_level", "below 10 %"),
        ("stale_data", "nothing fresh for as long as readings count"),
        ("connection", "lost, or the consent ends in 14, 7 or 1 days"),
    ],
)
def test_when_a_rule_fires_is_said_in_words(admin_client: Client, kind: str, words: str) -> None:
    make.make_rule(kind=kind, topic=kind)

    assert words in admin_client.get(listing(Rule)).content.decode()


def test_saving_and_deleting_rules_tells_the_cars_what_is_wanted(admin_client: Client) -> None:
    vehicle = make.make_vehicle()
    PortalSettings(send_odometers=False).save()
    wanted = Signal.objects.filter(vehicle=vehicle, code=codes.ODOMETER, is_wanted=True)

    admin_client.post(reverse(ADD_RULE), rule_form())
    vehicle.refresh_from_db()
    assert wanted.exists()
    assert vehicle.evaluation_due_at == NOW

    rule = Rule.objects.get()
    admin_client.post(reverse("admin:maintenance_rule_delete", args=[rule.pk]), {"post": "yes"})
    assert not wanted.exists()


def test_deleting_chosen_rules_tells_the_cars_too(admin_client: Client) -> None:
    vehicle = make.make_vehicle()

    act(admin_client, "delete_selected", make.make_rule(), post="yes")

    vehicle.refresh_from_db()
    assert not Rule.objects.exists()
    assert vehicle.evaluation_due_at == NOW


def test_rules_are_disabled_and_enabled(admin_client: Client) -> None:
    vehicle, rule = make.make_vehicle(), make.make_rule()

    assert "1 rule disabled" in said(act(admin_client, "disable", rule))
    rule.refresh_from_db()
    assert not rule.is_enabled
    vehicle.refresh_from_db()
    assert vehicle.evaluation_due_at == NOW

    assert "1 rule enabled" in said(act(admin_client, "enable", rule))
    rule.refresh_from_db()
    assert rule.is_enabled


def test_all_vehicles_are_marked_for_evaluation(admin_client: Client) -> None:
    vehicle = make.make_vehicle()

    act(admin_client, "evaluate_all", make.make_rule())

    vehicle.refresh_from_db()
    assert vehicle.evaluation_due_at == NOW


def test_scopes_read_like_words() -> None:
    group = make.make_group(name="Vans")

    assert rule_words.scope(make.make_rule()) == "every vehicle"
    assert rule_words.scope(make.make_rule(group=group)) == "group Vans"
    described = make.make_rule(make="FORD", model="Transit", year_from=2019, year_to=2022)
    assert rule_words.scope(described) == "FORD Transit 2019\u20132022"
    assert rule_words.scope(make.make_rule(year_from=2019)) == "from 2019"


def test_thresholds_read_like_words() -> None:
    both = make.make_rule(days=180)
    codes_rule = make.make_rule(kind="trouble_code", patterns="P0*", ignored="P03*")

    assert rule_words.thresholds(both, "km") == "every 8,047 km or 180 days, whichever is first"
    assert rule_words.thresholds(codes_rule, "mi") == "P0*; except P03*"
    oil = rule_words.thresholds(make.make_rule(kind="oil_life"), "mi")
    assert oil == "soon below 30 %, due below 20 %, overdue below 5 %"


def test_recipients_read_like_words(admin_user: User) -> None:
    rule = make.make_rule(notify_driver=True)
    assert rule_words.recipients(rule) == "maintenance@example.com, the driver"

    rule.staff.add(admin_user)
    assert rule_words.recipients(rule) == "admin, the driver"
    assert "off" in rule_words.recipients(make.make_rule(mail_from_stage="never"))


# --- Alerts -----------------------------------------------------------------------------------


def test_acknowledging_asks_for_a_note_first(admin_client: Client, admin_user: User) -> None:
    alert = make.make_alert()

    page = act(admin_client, "acknowledge", alert)
    alert.refresh_from_db()
    assert page.status_code == 200
    assert alert.acknowledged_at is None

    answer = act(admin_client, "acknowledge", alert, confirmed="yes", **{"ask-note": "On it"})
    alert.refresh_from_db()
    assert (alert.acknowledged_by, alert.note) == (admin_user, "On it")
    assert "1 alert acknowledged" in said(answer)


def test_resolving_asks_first(admin_client: Client, admin_user: User) -> None:
    alert = make.make_alert()

    act(admin_client, "resolve", alert)
    alert.refresh_from_db()
    assert alert.status == Alert.Status.OPEN

    answer = act(admin_client, "resolve", alert, confirmed="yes")
    alert.refresh_from_db()
    assert (alert.resolution, alert.resolved_by) == (Alert.Resolution.PERSON, admin_user)
    assert "1 alert resolved" in said(answer)


def test_an_alert_is_marked_serviced(admin_client: Client) -> None:
    signal = make.make_signal()
    alert = make.make_alert(vehicle=signal.vehicle)

    answer = act(admin_client, "mark_serviced", alert)

    alert.refresh_from_db()
    assert alert.resolution == Alert.Resolution.SERVICED
    assert ServiceRecord.objects.get().odometer_km == signal.value
    assert "1 service recorded" in said(answer)


@pytest.mark.parametrize("action", ["acknowledge", "resolve", "mark_serviced"])
def test_staff_who_may_only_look_change_no_alert(client: Client, action: str) -> None:
    alert = make.make_alert()
    client.force_login(make.make_user("maintenance.view_alert"))

    act(client, action, alert, confirmed="yes")

    alert.refresh_from_db()
    assert alert.status == Alert.Status.OPEN


def test_the_list_of_alerts_begins_with_what_is_not_over(admin_client: Client) -> None:
    current = make.make_alert()
    over = make.make_alert(status="resolved", resolved_at=NOW)
    pending = make.make_alert(status="pending", opened_at=None)

    def found(query: dict[str, str]) -> set[Alert]:
        return set(admin_client.get(listing(Alert), query).context["cl"].queryset)

    assert found({}) == {current, pending}
    assert found({"status": "announced"}) == {current}
    assert found({"status": "resolved"}) == {over}
    assert found({"status": "all"}) == {current, over, pending}


def test_the_page_of_an_alert_says_why_it_was_decided(admin_client: Client) -> None:
    evidence = {
        "odometer_km": 80_467.2,
        "due_odometer_km": 80_000,
        "rule": {"name": "Oil before", "distance_km": 8046.72, "days": None},
    }
    alert = make.make_alert(evidence=evidence)
    make.make_outbox_entry(about=alert, state="dead", last_error="The address was refused")
    issue = make.make_issue(alert=alert)

    text = admin_client.get(change(alert)).content.decode()

    for part in ("50,000 mi", "Oil before", "every 5,000 mi", "The address was refused"):
        assert part in text
    assert reverse("admin:maintenance_fleetioissue_open", args=[issue.pk]) in text


# --- Fleetio ----------------------------------------------------------------------------------


def test_the_way_to_an_issue_leads_to_fleetio(admin_client: Client) -> None:
    issue = make.make_issue()

    answer = admin_client.get(reverse("admin:maintenance_fleetioissue_open", args=[issue.pk]))

    assert answer.status_code == 302
    assert answer["Location"] == (
        f"https://secure.fleetio.com/test-account-token/issues/{issue.fleetio_id}"
    )


def test_the_way_to_an_issue_is_for_those_who_may_see_it(client: Client) -> None:
    address = reverse("admin:maintenance_fleetioissue_open", args=[make.make_issue().pk])

    assert "/login/" in client.get(address)["Location"]
    client.force_login(make.make_user())
    assert client.get(address).status_code == 403
    assert "test-account-token" not in client.get(address).content.decode()
    client.force_login(make.make_user("maintenance.view_fleetioissue"))
    assert client.get(address).status_code == 302
    gone = reverse("admin:maintenance_fleetioissue_open", args=[0])
    assert client.get(gone).status_code == 404


def test_without_an_account_token_the_way_says_so(admin_client: Client, settings: Any) -> None:
    settings.FLEETIO_ACCOUNT_TOKEN = ""
    issue: FleetioIssue = make.make_issue()

    answer = admin_client.get(reverse("admin:maintenance_fleetioissue_open", args=[issue.pk]))

    assert answer["Location"] == change(issue)
    assert "FLEETIO_ACCOUNT_TOKEN" in said(answer)


def test_a_person_may_want_a_new_issue_for_one_that_was_deleted(admin_client: Client) -> None:
    deleted, there = make.make_issue(state="deleted", fault_id=77), make.make_issue(state="open")
    for issue in (deleted, there):
        make.make_outbox_entry(
            about=issue.alert, kind="fleetio_issue", lane="fleetio", state="done", started_at=NOW
        )
    page = admin_client.get(change(deleted)).content.decode()
    assert "Deleted in Fleetio" in page
    assert "77" in page
    ask = {
        "action": "make_again",
        ACTION_CHECKBOX_NAME: [deleted.pk, there.pk],
    }
    url = reverse("admin:maintenance_fleetioissue_changelist")
    assert "Make new issues" in admin_client.post(url, ask).content.decode()
    admin_client.post(url, ask | {"confirmed": "1"})

    assert list(FleetioIssue.objects.all()) == [there]
    revived = OutboxEntry.objects.get(object_id=deleted.alert.pk)
    assert (revived.state, revived.finished_at) == ("unknown", None)


# --- Services ---------------------------------------------------------------------------------


def service_form(vehicle: Vehicle, **typed: Any) -> dict[str, Any]:
    form = {"vehicle": vehicle.pk, "topic": "engine-oil", "odometer_km": "45000"}
    return {**form, "done_on": "2026-03-01", "note": "", **typed}


def test_a_service_that_is_entered_ends_the_alert(admin_client: Client, admin_user: User) -> None:
    rule, vehicle = make.make_rule(), make.make_signal().vehicle
    alert = make.make_alert(rule=rule, vehicle=vehicle)

    admin_client.post(
        reverse("admin:maintenance_servicerecord_add"),
        service_form(vehicle, odometer_km="50000"),
    )

    record = ServiceRecord.objects.get()
    alert.refresh_from_db()
    assert record.odometer_km == pytest.approx(50_000 * MILE)
    assert (record.created_by, record.created_at) == (admin_user, NOW)
    assert alert.status == Alert.Status.RESOLVED


def test_deleting_a_service_counts_from_the_one_before(admin_client: Client) -> None:
    make.make_rule()
    vehicle = make.make_signal().vehicle
    make.make_service(vehicle=vehicle, odometer_km=60_000, done_on=date(2025, 1, 1))
    latest = make.make_service(vehicle=vehicle, odometer_km=80_467.2)

    address = reverse("admin:maintenance_servicerecord_delete", args=[latest.pk])
    admin_client.post(address, {"post": "yes"})

    assert Alert.objects.get().status == Alert.Status.OPEN


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"done_on": "2026-03-03"}, "done_on"),
        ({"done_on": "9999-12-31"}, "done_on"),
        ({"odometer_km": "-1"}, "odometer_km"),
        ({"topic": "unheard-of"}, "topic"),
    ],
)
def test_an_impossible_service_is_refused(
    admin_client: Client, typed: dict[str, str], field: str
) -> None:
    make.make_rule()
    form = service_form(make.make_vehicle(), **typed)

    page = admin_client.post(reverse("admin:maintenance_servicerecord_add"), form)

    assert field in page.context["adminform"].form.errors
    assert not ServiceRecord.objects.exists()


def test_vehicles_are_marked_serviced_at_the_odometer_they_show(admin_client: Client) -> None:
    make.make_rule()
    vehicles = [make.make_signal(value=1000 * n).vehicle for n in (1, 2)]

    page = act(admin_client, "mark_serviced", *vehicles)
    assert not ServiceRecord.objects.exists()
    assert page.context["form"].initial["done_on"] == NOW.date()

    typed = {"ask-topic": "engine-oil", "ask-odometer_km": "", "ask-done_on": "2026-03-02"}
    answer = act(admin_client, "mark_serviced", *vehicles, confirmed="yes", **typed)
    records = ServiceRecord.objects.order_by("odometer_km")
    assert [record.odometer_km for record in records] == [1000, 2000]
    assert "2 services recorded" in said(answer)


def test_marking_serviced_asks_again_when_something_is_wrong(admin_client: Client) -> None:
    make.make_rule()
    vehicle = make.make_signal().vehicle
    assert 'value="50000"' in act(admin_client, "mark_serviced", vehicle).content.decode()

    typed = {"ask-topic": "x", "ask-odometer_km": "", "ask-done_on": "2027-01-01"}
    page = act(admin_client, "mark_serviced", vehicle, confirmed="yes", **typed)

    assert set(page.context["form"].errors) == {"topic", "done_on"}
    assert not ServiceRecord.objects.exists()


# --- Vehicles and settings --------------------------------------------------------------------


def test_the_rules_are_evaluated_for_chosen_vehicles(admin_client: Client) -> None:
    make.make_rule()
    vehicle = make.make_signal().vehicle
    make.make_service(vehicle=vehicle, odometer_km=70_000)

    answer = act(admin_client, "evaluate_rules", vehicle)

    assert Alert.objects.get().status == Alert.Status.OPEN
    assert "something changed for 1" in said(answer)


def test_a_vehicle_that_changes_group_follows_the_groups_rules(admin_client: Client) -> None:
    PortalSettings(send_odometers=False).save()
    group, vehicle = make.make_group(), make.make_vehicle()
    make.make_rule(group=group)

    admin_client.post(change(vehicle), {"name": "", "group": group.pk})

    vehicle.refresh_from_db()
    assert vehicle.evaluation_due_at == NOW
    assert vehicle.signals.get(code=codes.ODOMETER).is_wanted


def test_deleting_a_group_lets_the_other_rules_take_over(admin_client: Client) -> None:
    group, vehicle = make.make_group(), make.make_vehicle()

    act(admin_client, "delete_selected", group, post="yes")

    vehicle.refresh_from_db()
    assert not VehicleGroup.objects.exists()
    assert vehicle.evaluation_due_at == NOW


def test_the_settings_are_one_page(admin_client: Client) -> None:
    vehicle = make.make_vehicle()
    address = reverse("admin:integrations_portalsettings_change", args=[1])
    assert admin_client.get(listing(PortalSettings))["Location"] == address
    assert not PortalSettings.objects.exists()
    form = {
        "fleet_name": "Acme",
        "country": "US",
        "distance_unit": "km",
        "link_days": "5",
        "extra_permissions": "read_fuel, read_tires",
    }

    admin_client.post(address, form)

    row = PortalSettings.objects.get()
    assert (row.pk, row.fleet_name, row.send_odometers) == (1, "Acme", False)
    assert row.extra_permissions == ["read_fuel", "read_tires"]
    vehicle.refresh_from_db()
    assert vehicle.evaluation_due_at == NOW


def test_bad_settings_are_told_at_their_fields(admin_client: Client) -> None:
    address = reverse("admin:integrations_portalsettings_change", args=[1])
    form = {"fleet_name": "", "country": "usa", "distance_unit": "parsec", "link_days": "0"}

    page = admin_client.post(address, {**form, "extra_permissions": "everything!"})

    errors = page.context["adminform"].form.errors
    assert set(errors) == {*form, "extra_permissions"}


# --- Coverage ---------------------------------------------------------------------------------


def reasons(vehicle: Vehicle) -> dict[str, str]:
    return {each.rule.name: each.reason for each in coverage.of(vehicle, now=NOW)}


def test_coverage_says_why_a_rule_cannot_apply() -> None:
    vehicle = make.make_signal().vehicle
    make.make_rule(name="interval")
    make.make_rule(name="oil", kind="oil_life")
    make.make_rule(name="codes", kind="trouble_code", topic="codes")
    make.make_rule(name="systems", kind="system_status", topic="systems")
    make.make_rule(name="others", make="TESLA", topic="x")
    for code, support in (
        (codes.OIL_LIFE, Signal.Support.NOT_CAPABLE),
        (codes.TROUBLE_CODES, Signal.Support.NOT_GRANTED),
    ):
        make.make_signal(vehicle=vehicle, code=code, value=None, recorded_at=None, support=support)

    found = reasons(vehicle)

    assert found["interval"] == "no service recorded yet for engine-oil: record the last one"
    assert found["oil"] == "the car cannot give it"
    assert found["codes"] == "the driver did not share it"
    assert found["systems"] == "not read from the car yet"
    assert "others" not in found


def test_coverage_says_which_rule_overrides_which() -> None:
    vehicle = make.make_signal().vehicle
    make.make_service(vehicle=vehicle)
    make.make_rule(name="for all")
    make.make_rule(name="for this", vehicle=vehicle)

    first, second = coverage.of(vehicle, now=NOW)

    assert (first.rule.name, first.applies) == ("for this", True)
    assert (second.rule.name, second.reason) == ("for all", "overridden by for this")


def test_coverage_knows_stale_readings_and_services_without_odometer() -> None:
    old = make.make_signal(recorded_at=NOW - timedelta(days=4)).vehicle
    make.make_service(vehicle=old)
    bare = make.make_signal().vehicle
    make.make_service(vehicle=bare, odometer_km=None)
    ahead = make.make_signal().vehicle
    make.make_service(vehicle=ahead, odometer_km=200_000)
    make.make_rule(name="interval")

    assert "older than 72 hours" in reasons(old)["interval"]
    assert "has no odometer" in reasons(bare)["interval"]
    assert "below that of the last service" in reasons(ahead)["interval"]


def test_a_rule_by_date_alone_needs_nothing_from_the_car() -> None:
    vehicle = make.make_vehicle(connection=None)
    make.make_service(vehicle=vehicle)
    make.make_rule(name="yearly", distance_km=None, days=365)

    assert reasons(vehicle) == {"yearly": ""}


def test_a_service_that_is_due_on_a_day_alone_needs_nothing_from_the_car() -> None:
    vehicle = make.make_vehicle(connection=None)
    make.make_rule(name="once", distance_km=None, due_on=NOW.date())
    make.make_rule(name="there", distance_km=None, due_odometer_km=9, topic="there")

    assert reasons(vehicle) == {"once": "", "there": "not read from the car yet"}


def test_coverage_of_cars_that_are_quiet_or_not_connected() -> None:
    make.make_rule(name="quiet", kind="stale_data", topic="quiet")
    make.make_rule(name="connection", kind="connection", topic="connection")
    bare = make.make_vehicle(connection=None)
    read = make.make_signal().vehicle

    why = "the car is not connected"
    assert reasons(bare) == {"quiet": why, "connection": why}
    assert reasons(read) == {"quiet": "", "connection": ""}


def test_tires_that_are_well_apply_while_they_are_read() -> None:
    data = {"values": [{"row": 0, "column": 0, "tirePressure": 240.0}]}
    make.make_rule(name="tires", kind="tire_pressure", topic="tires")
    read = make.make_signal(code=codes.TIRES, value=None, data=data).vehicle
    other = make.make_vehicle()

    assert reasons(read) == {"tires": ""}
    assert reasons(other) == {"tires": "not read from the car yet"}


def test_codes_that_are_silent_apply_while_they_are_read() -> None:
    vehicle = make.make_vehicle()
    make.make_signal(vehicle=vehicle, code=codes.TROUBLE_CODES, value=None, data={"values": []})
    make.make_rule(name="codes", kind="trouble_code", topic="codes")

    assert reasons(vehicle) == {"codes": ""}


def test_the_page_of_a_vehicle_shows_rules_alerts_and_services(admin_client: Client) -> None:
    vehicle = make.make_signal().vehicle
    alert = make.make_alert(vehicle=vehicle, rule=make.make_rule(name="Oil for all"))

    text = admin_client.get(change(vehicle)).content.decode()

    assert "Oil for all" in text
    assert "no service recorded yet" in text
    assert change(alert) in text
