import responses
from responses import matchers

from integrations.clients.fleetio import Contact, Label
from tests.integrations.clients.fleetio_scene import BASE, make_client, page

ANA = {"id": 1, "name": "Ana Ruiz", "email": "Ana@Example.com", "archived_at": None}
BOB = {"id": 2, "first_name": "Bob", "last_name": "Lee", "email": None, "archived_at": "2026-01-01"}


@responses.activate
def test_contacts_are_read_tolerantly() -> None:
    responses.get(f"{BASE}/contacts", json=page(ANA, BOB, {"id": 3}))
    assert make_client().list_contacts() == [
        Contact(id=1, name="Ana Ruiz", email="Ana@Example.com", archived=False),
        Contact(id=2, name="Bob Lee", email="", archived=True),
        Contact(id=3, name="", email="", archived=False),
    ]


@responses.activate
def test_contacts_are_asked_for_by_address_and_compared_again() -> None:
    query = {"filter[email][eq]": "ana@example.com", "per_page": "100"}
    responses.get(
        f"{BASE}/contacts", json=page(ANA, BOB), match=[matchers.query_param_matcher(query)]
    )
    assert [one.id for one in make_client().find_contacts("ana@example.com")] == [1]


@responses.activate
def test_labels_are_listed_and_made() -> None:
    responses.get(f"{BASE}/labels", json=page({"id": 1, "name": "Portal"}))
    responses.post(
        f"{BASE}/labels",
        status=201,
        json={"id": 2, "name": "New"},
        match=[matchers.json_params_matcher({"name": "New"})],
    )
    client = make_client()
    assert client.list_labels() == [Label(id=1, name="Portal")]
    assert client.create_label("New") == Label(id=2, name="New")
