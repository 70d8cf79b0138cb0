"""Leases: short, renewed while the work goes on, free soon after its process died."""

import time
from datetime import timedelta

import pytest
from django.db import DatabaseError

from integrations.models import ProviderGate, Vehicle
from integrations.services import leases
from integrations.services.leases import Lease
from tests.factories import NOW, make_vehicle
from tests.processes import wait_until

SECOND = timedelta(seconds=1)
UNTIL = NOW + 10 * SECOND


def lease_of(pk: int) -> Lease:
    return Lease(Vehicle.objects.filter(pk=pk), "poll_lease_until", UNTIL)


@pytest.mark.django_db(transaction=True)
def test_a_lease_is_renewed_as_long_as_the_work_lasts_and_not_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leases, "RENEW_EVERY", 0.05)
    car = make_vehicle(poll_lease_until=UNTIL)
    mine = Vehicle.objects.filter(pk=car.pk)

    with leases.kept(mine, "poll_lease_until", until=UNTIL) as lease:
        wait_until(lambda: mine.filter(poll_lease_until__gt=UNTIL + SECOND / 2).exists(), seconds=9)
        assert not lease.is_lost
    time.sleep(0.2)
    kept_until = mine.get().poll_lease_until
    time.sleep(0.3)

    assert mine.get().poll_lease_until == kept_until


@pytest.mark.django_db(transaction=True)
def test_a_lease_that_cannot_be_renewed_once_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leases, "RENEW_EVERY", 0.05)
    car = make_vehicle(poll_lease_until=UNTIL)
    mine = Vehicle.objects.filter(pk=car.pk)
    renew, failures = Lease.renew, [DatabaseError("away"), RuntimeError("what?")]

    def fail_twice(lease: Lease) -> None:
        if failures:
            raise failures.pop()
        renew(lease)

    monkeypatch.setattr(Lease, "renew", fail_twice)
    with leases.kept(mine, "poll_lease_until", until=UNTIL):
        wait_until(lambda: mine.filter(poll_lease_until__gt=UNTIL).exists(), seconds=9)


@pytest.mark.django_db
def test_a_renewal_moves_the_end_by_the_time_that_passed() -> None:
    car = make_vehicle(poll_lease_until=UNTIL)
    lease = lease_of(car.pk)
    lease.renewed -= 5

    lease.renew()

    car.refresh_from_db()
    assert car.poll_lease_until is not None
    assert 5 * SECOND <= car.poll_lease_until - UNTIL < 6 * SECOND


@pytest.mark.django_db
@pytest.mark.parametrize("left", [None, NOW + timedelta(hours=1)], ids=["given back", "taken over"])
def test_a_lease_that_is_over_is_never_renewed(left: object) -> None:
    car = make_vehicle(poll_lease_until=left)
    lease = lease_of(car.pk)
    lease.renewed -= 5

    lease.renew()

    car.refresh_from_db()
    assert car.poll_lease_until == left
    assert lease.is_lost


@pytest.mark.django_db
def test_an_account_has_one_sender_until_it_is_done() -> None:
    with leases.only_sender("fleetio", owner="a", now=NOW) as first:
        assert first is not None
        with leases.only_sender("fleetio", owner="b", now=NOW + 9 * SECOND) as second:
            assert second is None
        with leases.only_sender("smartcar", owner="b", now=NOW) as other_account:
            assert other_account is not None
        assert first.is_held()
    with leases.only_sender("fleetio", owner="b", now=NOW) as third:
        assert third is not None


@pytest.mark.django_db
def test_a_sender_that_slept_for_too_long_notices_and_leaves_its_follower_alone() -> None:
    with leases.only_sender("fleetio", owner="a", now=NOW) as first:
        assert first is not None
        with leases.only_sender("fleetio", owner="b", now=NOW + 10 * SECOND) as second:
            assert second is not None
            assert not first.is_held()
            assert second.is_held()
    assert ProviderGate.objects.get(name="fleetio").lease_owner == ""


@pytest.mark.django_db
def test_the_end_of_a_lost_lease_does_not_end_that_of_its_follower() -> None:
    first = leases.only_sender("fleetio", owner="a", now=NOW)
    first.__enter__()
    with leases.only_sender("fleetio", owner="b", now=NOW + 10 * SECOND):
        first.__exit__(None, None, None)
        assert ProviderGate.objects.get(name="fleetio").lease_owner == "b"


@pytest.mark.django_db
def test_a_lease_is_given_back_as_it_was_last_renewed_and_only_while_it_is_ours() -> None:
    car = make_vehicle(poll_lease_until=UNTIL)
    mine, late = lease_of(car.pk), lease_of(car.pk)
    mine.renewed -= 5
    mine.renew()

    late.give_back()
    assert Vehicle.objects.get().poll_lease_until == mine.until
    mine.give_back()
    assert Vehicle.objects.get().poll_lease_until is None
