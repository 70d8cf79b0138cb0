"""Texts that others wrote, held to what we can show and keep."""

from typing import Any


def text_of(value: Any, longest: int) -> str:
    """The value if it is a text that a line can show and a column hold; else an empty one."""
    if not isinstance(value, str) or not value.strip() or len(value) > longest:
        return ""
    return value if value.isprintable() else ""
