"""What `doctor` found of one thing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    what: str
    is_good: bool
    text: str
