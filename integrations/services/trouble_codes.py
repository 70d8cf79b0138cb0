"""When each of a car's trouble codes was first and last seen, and when it was gone."""

from integrations.models import Signal, TroubleCode, Vehicle


def present(signal: Signal | None) -> set[str]:
    """The codes that the car's list of trouble codes names; none when it was never read."""
    if signal is None or not isinstance(signal.data, dict):
        return set()
    return {item["code"] for item in signal.data["values"]}


def track(vehicle: Vehicle, *, before: set[str], signal: Signal) -> None:
    """Bring the history in line with the list as it is now; `before` are the codes until now."""
    at, now_present = signal.recorded_at, present(signal)
    if at is None or not (before or now_present):
        return
    active = vehicle.trouble_codes.filter(cleared_at__isnull=True)
    if stayed := before & now_present:
        active.filter(code__in=stayed).update(last_seen_at=at)
    if gone := before - now_present:
        active.filter(code__in=gone).update(cleared_at=at)
    if came := now_present - before:
        TroubleCode.objects.bulk_create(
            (
                TroubleCode(vehicle=vehicle, code=code, first_seen_at=at, last_seen_at=at)
                for code in sorted(came)
            ),
            ignore_conflicts=True,
        )
