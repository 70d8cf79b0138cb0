"""What staff do with code overrides, and what the page of a vehicle says of its codes."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from fleetportal import clock
from integrations.models import Activity
from maintenance.models import CodeOverride
from maintenance.services import code_csv
from tests.factories import NOW, make_override, make_trouble_code, make_user, make_vehicle

pytestmark = pytest.mark.django_db

LIST = "admin:maintenance_codeoverride_changelist"
ADD = "admin:maintenance_codeoverride_add"
IMPORT = "admin:maintenance_codeoverride_import"
EXPORT = "admin:maintenance_codeoverride_export"
GOOD = "pattern;severity;ignored;text;note\r\nP0420;;yes;;<b>wait</b>\r\nP05*;critical;;;\r\n"


@pytest.fixture(autouse=True)
def fixed_time() -> Iterator[None]:
    clock.set_source(lambda: NOW)
    yield
    clock.set_source(None)


def upload(client: Client, text: str | bytes) -> Any:
    data = text.encode() if isinstance(text, str) else text
    return client.post(reverse(IMPORT), {"file": SimpleUploadedFile("codes.csv", data)})


def change_page(row: CodeOverride) -> str:
    return reverse("admin:maintenance_codeoverride_change", args=[row.pk])


# --- One row ----------------------------------------------------------------------------------


def test_a_row_is_added_changed_and_deleted_and_cars_follow(admin_client: Client) -> None:
    car = make_vehicle()
    typed = {"pattern": "p04*", "severity": "low", "is_ignored": "on", "text": "", "note": ""}
    admin_client.post(reverse(ADD), typed)
    row = CodeOverride.objects.get()
    assert (row.pattern, row.severity, row.is_ignored, row.updated_at) == ("P04*", "low", True, NOW)

    admin_client.post(change_page(row), {**typed, "text": "Known"})
    row.refresh_from_db()
    assert row.text == "Known"

    data = {"action": "delete_selected", ACTION_CHECKBOX_NAME: [row.pk], "post": "yes"}
    admin_client.post(reverse(LIST), data)
    assert not CodeOverride.objects.exists()
    assert [row.what for row in Activity.objects.order_by("pk")] == [
        "Code override added: P04*",
        "Code override changed: P04*",
        "Code override deleted: P04*",
    ]
    car.refresh_from_db()
    assert car.evaluation_due_at == NOW


@pytest.mark.parametrize(
    ("pattern", "words"),
    [("P04", "Write it like P0420 or P04*"), ("p0430", "in the list already")],
)
def test_a_bad_pattern_is_told_at_its_field(admin_client: Client, pattern: str, words: str) -> None:
    make_override(pattern="P0430")
    page = admin_client.post(reverse(ADD), {"pattern": pattern})
    assert words in str(page.context["adminform"].form.errors["pattern"])
    assert CodeOverride.objects.count() == 1


def test_the_list_says_what_a_code_means(admin_client: Client) -> None:
    make_override(pattern="P0301")
    make_override(pattern="P0420", text="Our own word", severity="critical")
    page = admin_client.get(reverse(LIST)).content.decode()
    assert "Misfire in cylinder 1" in page
    assert "Our own word" in page
    assert reverse(IMPORT) in page
    assert reverse(EXPORT) in page
    found = admin_client.get(reverse(LIST), {"q": "own word"}).content.decode()
    assert "P0301" not in found


def test_a_rows_page_names_the_cars_that_it_concerns(admin_client: Client) -> None:
    row = make_override(pattern="P04*")
    make_trouble_code(code="P0442", vehicle=make_vehicle(name="Van seven"))
    make_trouble_code(code="P0301", vehicle=make_vehicle(name="Van eight"))
    make_trouble_code(code="P0420", vehicle=make_vehicle(name="Van nine"), cleared_at=NOW)
    page = admin_client.get(change_page(row)).content.decode()
    assert "Van seven" in page
    assert "Van eight" not in page
    assert "Van nine" not in page


# --- Files ------------------------------------------------------------------------------------


def test_a_file_is_shown_first_and_written_when_confirmed(admin_client: Client) -> None:
    make_override(pattern="P0420", is_ignored=False)
    page = upload(admin_client, "\ufeff" + GOOD)
    html = page.content.decode()
    assert "1 to be added, 1 to be changed, 0 are as they are here." in html
    assert "&lt;b&gt;wait&lt;/b&gt;" in html
    assert "<b>wait" not in html
    assert CodeOverride.objects.get().is_ignored is False

    text = page.context["confirm"]["text"].value()
    answer = admin_client.post(reverse(IMPORT), {"text": text, "confirmed": "yes"}, follow=True)
    assert "1 added, 1 changed, 0 as they were." in answer.content.decode()
    assert list(CodeOverride.objects.values_list("pattern", "severity", "is_ignored")) == [
        ("P0420", "", True),
        ("P05*", "critical", False),
    ]
    again = upload(admin_client, GOOD)
    assert "all of it is here already" in again.content.decode()
    assert again.context["confirm"] is None


def test_a_wrong_file_is_told_by_line_and_cannot_be_confirmed(admin_client: Client) -> None:
    bad = GOOD + "X1;urgent;;;\r\n"
    page = upload(admin_client, bad)
    html = page.content.decode()
    assert "2 things are wrong" in html
    assert "fits no code" in html
    assert page.context["confirm"] is None

    forced = admin_client.post(reverse(IMPORT), {"text": bad, "confirmed": "yes"})
    assert "fits no code" in forced.content.decode()
    assert not CodeOverride.objects.exists()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\xff\xfe", "CSV UTF-8"),
        (b"x" * (code_csv.MAX_BYTES + 1), "more than 256 kB"),
    ],
)
def test_what_is_no_csv_is_refused_at_the_field(
    admin_client: Client, data: bytes, words: str
) -> None:
    page = upload(admin_client, data)
    assert words in str(page.context["form"].errors["file"])
    assert page.context["confirm"] is None


@pytest.mark.parametrize("text", ["", "x" * (2 * code_csv.MAX_BYTES + 1), "a\0b"])
def test_a_confirmation_without_its_file_writes_nothing(admin_client: Client, text: str) -> None:
    page = admin_client.post(reverse(IMPORT), {"text": text, "confirmed": "yes"})
    assert page.status_code == 200
    assert "did not arrive whole" in page.content.decode()
    assert not CodeOverride.objects.exists()


def test_the_export_can_be_imported(admin_client: Client) -> None:
    make_override(pattern="P0420", text="=HYPERLINK(1)", note='a;b,"c"')
    answer = admin_client.get(reverse(EXPORT))
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="trouble-codes.csv"'
    assert b'"=' not in answer.content
    page = upload(admin_client, answer.content)
    assert "all of it is here already" in page.content.decode()


def test_only_those_who_may_write_import_and_only_those_who_may_look_export(
    client: Client,
) -> None:
    make_override(pattern="P0301")
    client.force_login(make_user("maintenance.view_codeoverride"))
    assert reverse(IMPORT) not in client.get(reverse(LIST)).content.decode()
    assert client.get(reverse(IMPORT)).status_code == 403
    assert upload(client, GOOD).status_code == 403
    forced = client.post(reverse(IMPORT), {"text": GOOD, "confirmed": "yes"})
    assert forced.status_code == 403
    assert client.get(reverse(EXPORT)).status_code == 200

    client.force_login(make_user("maintenance.add_codeoverride"))
    assert upload(client, GOOD).status_code == 403
    client.force_login(make_user("integrations.view_vehicle"))
    assert client.get(reverse(EXPORT)).status_code == 403
    client.logout()
    assert client.get(reverse(EXPORT)).status_code == 302
    assert CodeOverride.objects.count() == 1


# --- The page of a vehicle --------------------------------------------------------------------


def test_the_page_of_a_vehicle_says_what_its_codes_mean(admin_client: Client) -> None:
    car = make_vehicle()
    for code, count in (("P0301", 3), ("P0420", 1), ("P1234", 1), ("U0100", 1)):
        make_trouble_code(vehicle=car, code=code, count=count)
    make_override(pattern="U0100", is_ignored=True)
    make_override(pattern="P0420", is_ignored=False, severity="low", text="<i>Ours</i>")
    url = reverse("admin:integrations_vehicle_change", args=[car.pk])
    panels = admin_client.get(url).context["panels"]
    (panel,) = [panel for panel in panels if panel.title == "Trouble codes"]
    shown = {str(row[0]).partition("<br>")[0]: (str(row[0]), row[-1]) for row in panel.rows}

    assert "Misfire in cylinder 1 (High)" in shown["P0301"][0]
    assert "&lt;i&gt;Ours&lt;/i&gt; (Low)" in shown["P0420"][0]
    assert "Code of the manufacturer, fuel and air (Medium)" in shown["P1234"][0]
    assert "(ignored)" in shown["U0100"][0]
    assert shown["P0301"][1] == 3
    assert panel.headers[-1] == "Times seen"


def test_active_codes_stand_before_cleared_ones(admin_client: Client) -> None:
    car = make_vehicle()
    make_trouble_code(vehicle=car, code="P0301", cleared_at=NOW)
    make_trouble_code(vehicle=car, code="P0420")
    url = reverse("admin:integrations_vehicle_change", args=[car.pk])
    panels = admin_client.get(url).context["panels"]
    (panel,) = [panel for panel in panels if panel.title == "Trouble codes"]
    assert ["P0420" in str(row[0]) for row in panel.rows] == [True, False]
