"""The words of alerts."""

import pytest

from integrations.clients.readings import SYSTEMS
from maintenance.engine.findings import Finding
from maintenance.engine.rules import Stage, Verdict
from maintenance.models import Rule
from maintenance.services import wording


def said(
    kind: str, *, topic: str = "engine-oil", stage: Stage = Stage.DUE, **values: object
) -> str:
    finding = Finding(
        rule_id=1,
        verdict=Verdict.FIRING,
        stage=stage,
        **{"subject": "", **values},  # type: ignore[arg-type]
    )
    return wording.summary(Rule(kind=kind, topic=topic), finding, "mi")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (14.0, "Engine oil life 14 %"),
        (14.26, "Engine oil life 14.3 %"),
        (0.0, "Engine oil life 0 %"),
        (None, "Engine oil life ? %"),
    ],
)
def test_oil_life_names_the_percentage(value: float | None, text: str) -> None:
    assert said("oil_life", value=value) == text


@pytest.mark.parametrize("stage", list(Stage))
def test_an_interval_names_its_topic(stage: Stage) -> None:
    text = said("service_interval", topic="tire-rotation", stage=stage)
    assert text.startswith("Tire rotation service")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("P0301", "P0301: misfire in cylinder 1"),
        ("B1000", "B1000: code of the manufacturer, body"),
        ("P03", "Trouble code P03"),
    ],
)
def test_a_code_is_named_with_its_meaning(code: str, text: str) -> None:
    assert said("trouble_code", subject=code) == text


def test_the_fleets_own_meaning_names_a_code() -> None:
    evidence = {"own_meaning": "Tail lift"}
    assert said("trouble_code", subject="B1000", evidence=evidence) == "B1000: Tail lift"


def test_a_system_is_named_in_words_with_what_the_car_says() -> None:
    assert said("system_status", subject="brakefluid") == "Warning: brake fluid"
    assert said("system_status", subject="mil", evidence={"description": " Soon "}) == (
        "Warning: check engine lamp: Soon"
    )
    assert said("system_status", subject="newthing") == "Warning: newthing"


def test_every_system_that_smartcar_names_has_words() -> None:
    assert set(SYSTEMS) <= wording.SYSTEMS.keys()


@pytest.mark.parametrize(
    ("km", "unit", "text"),
    [(8046.72, "mi", "5,000 mi"), (8046.72, "km", "8,047 km"), (0, "mi", "0 mi")],
)
def test_distances_are_whole_and_in_the_readers_unit(km: float, unit: str, text: str) -> None:
    assert wording.distance(km, unit) == text


@pytest.mark.parametrize("kind", list(Rule.Kind))
@pytest.mark.parametrize("evidence", [{}, {"rule": {}}, {"value": None, "odometer_km": "x"}])
def test_missing_evidence_is_left_out(kind: str, evidence: dict[str, object]) -> None:
    assert wording.explain(kind, evidence, "mi") == []


def test_evidence_of_each_kind_in_words() -> None:
    def lines(kind: str, **evidence: object) -> list[tuple[str, str]]:
        return [(line.name, line.text) for line in wording.explain(kind, evidence, "km")]

    rule = {"name": "My rule"}
    assert lines("oil_life", value=12.5, due_below=20, rule=rule) == [
        ("Remaining oil life", "12.5 %"),
        ("Due below", "20 %"),
        ("Rule", "My rule"),
    ]
    assert lines("service_interval", odometer_km=1000.4, service_odometer_km=10) == [
        ("Odometer", "1,000 km"),
        ("Last service at", "10 km"),
    ]
    assert lines("trouble_code", code="P0301", timestamp=None, severity="high") == [
        ("Code", "P0301"),
        ("Meaning", "Misfire in cylinder 1"),
        ("Severity", "High"),
        (
            "For the driver",
            "Drive gently, without a trailer or high speed, and have it looked at today"
            " or tomorrow.",
        ),
    ]
    own = lines("trouble_code", code="B1000", severity="low", own_meaning="Tail lift")
    assert own[1:] == [
        ("Meaning", "Tail lift"),
        ("Severity", "Low"),
        ("For the driver", "Safe to drive; mention it at the next visit to the workshop."),
    ]
    assert [name for name, _text in lines("trouble_code", code="P0301")] == [
        "Code",
        "Meaning",
        "For the driver",
    ], "an alert from before severities were kept"
    assert lines("system_status", system="mil", description="Check") == [
        ("System", "check engine lamp"),
        ("The car says", "Check"),
    ]
