"""Which topic a service belongs to, by what workshops and makers call it."""

import unicodedata
from collections import defaultdict

from maintenance.models import Rule
from maintenance.models.rules import split


def topics_called(name: str) -> list[str]:
    """The topics of the enabled rules that have this name, among others or as their own.

    Case, blanks and punctuation do not matter; an empty name is nobody's.
    """
    return topics_by_name().get(plain(name), [])


def topics_by_name() -> dict[str, list[str]]:
    """The topics of the enabled rules by each of their names, in plain letters."""
    found: dict[str, set[str]] = defaultdict(set)
    rules = Rule.objects.enabled().values_list("topic", "name", "service_names")
    for topic, rule, names in rules:
        for name in (topic, rule, *split(names)):
            found[plain(name)].add(topic)
    found.pop("", None)
    return {name: sorted(topics) for name, topics in found.items()}


def plain(name: str) -> str:
    """Letters and digits alone, all small."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return "".join(sign for sign in text if sign.isalnum())
