from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maintenance.engine.rules import RuleSpec, TroubleCode
from maintenance.engine.scopes import Scope, VehicleFacts, in_force, matches, specificity
from tests.maintenance.engine.builders import make_spec

VAN = VehicleFacts(id=7, group_id=3, make="Ford", model="Transit", year=2020)
NAMELESS = VehicleFacts(id=8)

FROM_LEAST_TO_MOST = [
    Scope(),
    Scope(make="Ford"),
    Scope(year_from=2019, year_to=2021),
    Scope(make="Ford", model="Transit"),
    Scope(make="Ford", model="Transit", year_from=2019),
    Scope(make="Ford", model="Transit", year_from=2019, year_to=2021),
    Scope(group_id=3),
    Scope(group_id=3, make="Ford"),
    Scope(vehicle_id=7),
]


@pytest.mark.parametrize(
    ("scope", "vehicle", "expected"),
    [
        (Scope(), NAMELESS, True),
        (Scope(vehicle_id=7), VAN, True),
        (Scope(vehicle_id=7), NAMELESS, False),
        (Scope(group_id=3), VAN, True),
        (Scope(group_id=3), NAMELESS, False),
        (Scope(make="FORD", model="transit"), VAN, True),
        (Scope(make="Ford", model="Focus"), VAN, False),
        (Scope(make="Ford"), NAMELESS, False),
        (Scope(make="", model=""), NAMELESS, True),
        (Scope(group_id=3, make="Tesla"), VAN, False),
        (Scope(year_from=2020), VAN, True),
        (Scope(year_from=2021), VAN, False),
        (Scope(year_to=2020), VAN, True),
        (Scope(year_to=2019), VAN, False),
        (Scope(year_from=2000), NAMELESS, False),
        (Scope(year_to=2100), NAMELESS, False),
    ],
    ids=str,
)
def test_a_scope_matches_when_all_its_criteria_hold(
    scope: Scope, vehicle: VehicleFacts, expected: bool
) -> None:
    assert matches(scope, vehicle) is expected


def test_vehicle_beats_group_beats_description_beats_everything() -> None:
    assert sorted(FROM_LEAST_TO_MOST, key=specificity) == FROM_LEAST_TO_MOST


def test_only_the_most_specific_rule_of_a_kind_and_topic_is_in_force() -> None:
    candidates = [(scope, make_spec(id=n)) for n, scope in enumerate(FROM_LEAST_TO_MOST, 1)]
    assert [spec.id for spec in in_force(candidates, VAN)] == [9]
    assert [spec.id for spec in in_force(candidates, NAMELESS)] == [1]


def test_rules_of_other_topics_and_kinds_stand_side_by_side() -> None:
    oil = make_spec(id=3)
    other_topic = make_spec(id=2, topic="other")
    other_kind = make_spec(TroubleCode(), id=1)
    candidates = [(Scope(), oil), (Scope(vehicle_id=7), other_topic), (Scope(), other_kind)]
    assert in_force(candidates, VAN) == [other_kind, other_topic, oil]


def test_equally_specific_rules_go_to_the_lowest_id() -> None:
    candidates = [(Scope(make="Ford"), make_spec(id=5)), (Scope(model="Transit"), make_spec(id=4))]
    assert [spec.id for spec in in_force(candidates, VAN)] == [4]


SCOPES = st.sampled_from([*FROM_LEAST_TO_MOST, Scope(make="Tesla"), Scope(vehicle_id=8)])
SPECS = st.builds(
    lambda number, topic: make_spec(id=number, topic=topic),
    st.integers(1, 5),
    st.sampled_from(["engine-oil", "tires"]),
)


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.tuples(SCOPES, SPECS), max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_rules_does_not_matter(
    candidates: list[tuple[Scope, RuleSpec]], random: Random
) -> None:
    shuffled = candidates.copy()
    random.shuffle(shuffled)
    assert in_force(shuffled, VAN) == in_force(candidates, VAN)
