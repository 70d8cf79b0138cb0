"""The words of alerts."""

import pytest
from django.utils import timezone

from integrations.clients.readings import SYSTEMS
from maintenance.engine.findings import Finding, Reason
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


@pytest.mark.parametrize(
    ("wheel", "is_high", "unit", "text"),
    [
        ("front-left", False, "mi", "Front left tire low: 24 psi"),
        ("front-left", False, "km", "Front left tire low: 165 kPa"),
        ("rear-right", True, "km", "Rear right tire high: 165 kPa"),
        ("axle-3-left", False, "mi", "Tire axle 3 left low: 24 psi"),
    ],
)
def test_a_tire_is_named_with_its_pressure(
    wheel: str, unit: str, text: str, *, is_high: bool
) -> None:
    evidence = {"wheel": wheel, "is_high": is_high, "pressure_kpa": 165.0}
    finding = Finding(rule_id=1, subject=wheel, verdict=Verdict.FIRING, evidence=evidence)
    assert wording.summary(Rule(kind="tire_pressure"), finding, unit) == text


@pytest.mark.parametrize(
    ("kind", "reason", "evidence", "text"),
    [
        ("fuel_level", "", {}, "Fuel level 8 %"),
        ("state_of_charge", "", {}, "Battery charge 8 %"),
        (
            "stale_data",
            Reason.SILENT,
            {"last_recorded_at": "2026-03-02T23:30:00+00:00"},
            "No fresh data since March 3, 2026",
        ),
        (
            "stale_data",
            Reason.SILENT,
            {"last_recorded_at": None, "connected_at": "2026-03-02T12:00:00+00:00"},
            "No data at all since it was connected on March 2, 2026",
        ),
        ("connection", Reason.CONSENT_ENDS, {"ends_on": "2026-04-01"}, "ends on April 1, 2026"),
        ("connection", Reason.NEEDS_RECONNECT, {}, "the driver has to connect again"),
        ("connection", Reason.REVOKED, {}, "Connection ended: the car is no longer shared"),
        ("connection", Reason.NOT_SHARED, {}, "Connection ended: the car is no longer shared"),
    ],
)
def test_levels_silence_and_connections_are_named(
    kind: str, reason: str, evidence: dict[str, object], text: str
) -> None:
    with timezone.override("Europe/Berlin"):
        assert text in said(kind, value=8.0, reason=reason, evidence=evidence)


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
    assert lines(
        "tire_pressure", wheel="rear-left", pressure_kpa=165, placard_kpa=None, limit_kpa=193
    ) == [("Wheel", "Rear left tire"), ("Pressure", "165 kPa"), ("Low at", "193 kPa")]
    assert lines("tire_pressure", is_high=True, limit_kpa=300) == [("High at", "300 kPa")]
    assert lines("fuel_level", value=8, due_below=10, clear_at=20) == [
        ("Fuel level", "8 %"),
        ("Due below", "10 %"),
        ("Clears at", "20 %"),
    ]
    assert lines("stale_data", last_recorded_at=None, limit_hours=72.0) == [
        ("Quiet for more than", "72 hours"),
    ]
    assert lines("connection", driver="Maria", why="Token refused", ends_on="2026-04-01") == [
        ("Driver", "Maria"),
        ("Why", "Token refused"),
        ("Ends on", "April 1, 2026"),
    ]
    assert lines("system_status", system="mil", description="Check") == [
        ("System", "check engine lamp"),
        ("The car says", "Check"),
    ]
