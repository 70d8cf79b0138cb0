"""A small line of history as SVG: no script, no inline styles, readable aloud."""

from collections.abc import Sequence
from datetime import datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString

WIDTH, HEIGHT, EDGE = 260, 44, 4


def draw(points: Sequence[tuple[datetime, float]], *, title: str, caption: str) -> str:
    """The points in the order of time; "" when there are too few for a line."""
    ordered = sorted(points)
    if len(ordered) < 2:
        return ""
    seconds = [at.timestamp() for at, _value in ordered]
    values = [value for _at, value in ordered]
    places = list(
        zip(_scale(seconds, WIDTH), (HEIGHT - y for y in _scale(values, HEIGHT)), strict=True)
    )
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    last_x, last_y = places[-1]
    return format_html(
        '<figure class="fp-spark"><svg viewBox="0 0 {} {}" width="{}" height="{}" role="img"'
        ' aria-label="{}"><polyline points="{}" fill="none" stroke="currentColor"'
        ' stroke-width="2" stroke-linejoin="round" stroke-linecap="round"/>'
        '<circle cx="{}" cy="{}" r="3" fill="currentColor"/></svg>'
        "<figcaption>{} <span>{}</span></figcaption></figure>",
        WIDTH,
        HEIGHT,
        WIDTH,
        HEIGHT,
        f"{title}: {caption}",
        SafeString(path),
        f"{last_x:.1f}",
        f"{last_y:.1f}",
        title,
        caption,
    )


def _scale(numbers: Sequence[float], size: int) -> list[float]:
    low, high = min(numbers), max(numbers)
    span = (high - low) or 1
    room = size - 2 * EDGE
    middle = size / 2
    return [EDGE + (n - low) / span * room if high > low else middle for n in numbers]
