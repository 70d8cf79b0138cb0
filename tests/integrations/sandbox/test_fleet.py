import re
from datetime import timedelta

import pytest

from integrations.sandbox import Fleet
from integrations.sandbox.cars import make_vin
from tests.integrations.sandbox.conftest import START


def make_fleet(seed: int = 7, vehicles: int = 16) -> Fleet:
    return Fleet(seed=seed, vehicles=vehicles, drivers=3, started_at=START)


def state(fleet: Fleet) -> list[object]:
    return [
        (
            car.vin,
            car.smartcar_id,
            round(car.odometer_km, 4),
            round(car.oil_life or 0, 6),
            car.trouble_codes,
            car.systems,
            car.recorded_at,
        )
        for car in fleet.cars
    ]


def test_same_seed_gives_the_same_fleet_and_story() -> None:
    one, other, third = make_fleet(), make_fleet(), make_fleet(seed=8)
    for fleet in (one, other, third):
        fleet.advance(START + timedelta(days=20))
    assert state(one) == state(other)
    assert state(one) != state(third)


def test_story_does_not_depend_on_the_steps_taken() -> None:
    one, other = make_fleet(), make_fleet()
    until = START + timedelta(days=9, hours=7, minutes=10)
    one.advance(until)
    while other.now < until:
        other.advance(min(until, other.now + timedelta(minutes=97)))
    assert state(one) == state(other)


def test_going_back_in_time_changes_nothing() -> None:
    fleet = make_fleet()
    fleet.advance(START + timedelta(days=3))
    before = state(fleet)
    fleet.advance(START + timedelta(days=2))
    assert state(fleet) == before


def test_vins_are_unique_and_look_real() -> None:
    vins = [car.vin for car in make_fleet(vehicles=500).cars]
    assert len(set(vins)) == 500
    for vin in vins:
        assert re.fullmatch(r"[A-HJ-NPR-Z0-9]{17}", vin)


def test_vin_has_the_year_letter_and_the_check_digit_of_the_standard() -> None:
    # The check digit makes the weighted sum, with the digit as value, a multiple of 11.
    vin = make_vin("1GC", 2022, 123_456)
    assert vin[9] == "N"
    letters = "0123456789.ABCDEFGH..JKLMN.P.R..STUVWXYZ"
    weights = "8765432X098765432"
    total = sum(
        letters.index(sign) % 10 * "0123456789X".index(weight)
        for sign, weight in zip(vin, weights, strict=True)
    )
    assert "0123456789X"[total % 11] == vin[8]


def test_cars_are_driven_on_working_days_only() -> None:
    fleet = make_fleet()
    fleet.advance(START + timedelta(days=4, hours=15))  # Saturday, 00:00
    friday = {car.vin: car.odometer_km for car in fleet.cars}
    fleet.advance(START + timedelta(days=6, hours=15))  # Monday, 00:00
    assert {car.vin: car.odometer_km for car in fleet.cars} == friday
    fleet.advance(START + timedelta(days=7, hours=15))
    driven = [car for car in fleet.cars if car.odometer_km > friday[car.vin]]
    assert 0 < len(fleet.cars) - len(driven) <= 1  # one car stands still for a month


@pytest.mark.parametrize("seed", range(1, 6))
def test_first_days_bring_all_that_rules_look_for(seed: int) -> None:
    fleet = make_fleet(seed)
    codes, alerts, asleep, low, nonsense = set(), set(), set(), set(), set()
    for hour in range(24 * 14):
        fleet.advance(START + timedelta(hours=hour))
        for car in fleet.cars:
            codes |= {(car.vin, code) for code in car.trouble_codes}
            alerts |= {(car.vin, name) for name, value in car.systems.items() if value == "ALERT"}
            asleep |= {car.vin} if car.is_asleep else set()
            low |= {car.vin} if car.oil_life is not None and car.oil_life < 0.2 else set()
            nonsense |= {car.next_odometer} if car.next_odometer is not None else set()
    assert {code for _, code in codes} == {"P0420", "P0301"}
    assert {fleet.car(vin).make for vin, _ in codes} <= {"CHEVROLET", "GMC", "BUICK"}
    assert "SYSTEM_TIRE_PRESSURE" in {name for _, name in alerts}
    assert len(asleep) == 1
    assert len(low) == 2
    assert sorted(fleet.car(vin).oil_life or 0 for vin in low)[1] > 0.9
    assert nonsense == {4_294_967_295.0}
    for car in fleet.cars:
        assert car.trouble_codes == []
        assert set(car.systems.values()) <= {"OK"}


def test_sleeping_car_says_nothing_new() -> None:
    fleet = make_fleet()
    fleet.advance(START + timedelta(hours=1))
    car = fleet.cars[0]
    car.is_asleep = True
    before = car.recorded_at
    fleet.advance(START + timedelta(hours=9))
    assert car.recorded_at == before
    car.is_asleep = False
    fleet.advance(START + timedelta(hours=10))
    assert car.recorded_at > before


def test_year_of_driving_stays_plausible() -> None:
    fleet = make_fleet()
    begin = {car.vin: car.odometer_km for car in fleet.cars}
    fleet.advance(START + timedelta(days=365))
    for car in fleet.cars:
        assert 10_000 < car.odometer_km - begin[car.vin] < 40_000
        assert car.oil_life is None or 0 <= car.oil_life <= 1
        assert car.fuel is None or 0.1 < car.fuel < 1
        assert car.recorded_at <= fleet.now


@pytest.mark.parametrize("vehicles", [0, 1, 2])
def test_small_fleets_have_a_story_too(vehicles: int) -> None:
    fleet = make_fleet(vehicles=vehicles)
    fleet.advance(START + timedelta(days=120))
    assert len(fleet.cars) == vehicles


def test_values_can_be_set_directly() -> None:
    car = make_fleet().cars[0]
    car.report(START, odometer_km=5.0, oil_life=0.14)
    assert (car.odometer_km, car.oil_life, car.recorded_at) == (5.0, 0.14, START)
    assert make_fleet().driver("maria lopez").email == "maria.lopez@example.com"
