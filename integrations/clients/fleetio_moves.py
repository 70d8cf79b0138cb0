"""How an issue is closed, resolved or reopened: by calls that no public page spells out.

https://developer.fleetio.com/docs/api tells of the states and their notes, not of the paths: so
verb and path are settings, and an account that is called otherwise needs no new code.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_VERBS = ("PATCH", "POST", "PUT")
_PATH = re.compile(r"(?:/[A-Za-z0-9_.:{}-]+)+")
_PLACE = "{id}"


class Move(StrEnum):
    """What can be done to an issue."""

    CLOSE = "close"
    RESOLVE = "resolve"
    REOPEN = "reopen"

    @property
    def setting(self) -> str:
        """The setting that says how it is asked for."""
        return f"FLEETIO_{self.name}_ISSUE"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueCall:
    """How one move is asked for. `path` holds `{id}` once; `move` is None when not even the path
    tells which move it is.
    """

    verb: str
    path: str
    move: Move | None = None

    def path_of(self, issue_id: int) -> str:
        """The path for one issue."""
        return self.path.replace(_PLACE, str(issue_id))

    def body(self, note: str) -> dict[str, Any]:
        """The note under each name that it may have; nothing without a note."""
        names = ["note"]
        if self.move in (Move.CLOSE, Move.RESOLVE):
            names.append({Move.CLOSE: "closed_note", Move.RESOLVE: "resolved_note"}[self.move])
        return dict.fromkeys(names, note) if note else {}

    def settings(self) -> str:
        """The names of the settings this call may come from."""
        return ", ".join(move.setting for move in ([self.move] if self.move else Move))


def parse_call(text: str, move: Move | None = None) -> IssueCall | None:
    """Read a call as settings write it, such as `PATCH /issues/{id}/close`; None for an empty
    text: the move is not used. `move` is told by the path when it is not given.

    Raises ValueError, which says what is wrong.
    """
    words = text.split()
    if not words:
        return None
    if len(words) != 2:
        raise ValueError(f"it must be a verb and a path, such as PATCH /issues/{_PLACE}/close")
    verb, path = words[0].upper(), words[1]
    if verb not in _VERBS:
        raise ValueError(f"the verb must be one of {', '.join(_VERBS)}")
    if flaw := _flaw(path):
        raise ValueError(flaw)
    return IssueCall(verb=verb, path=path, move=move or _move_in(path))


def _flaw(path: str) -> str:
    """What is wrong with a path; empty when nothing is."""
    if not path.startswith("/"):
        return "the path must start with / and name no server: that is FLEETIO_BASE_URL"
    if path.count(_PLACE) != 1 or set(path.replace(_PLACE, "")) & set("{}"):
        return f"the path must hold {_PLACE} once, and no other braces"
    if not _PATH.fullmatch(path) or any(not part.strip(".") for part in path[1:].split("/")):
        return "the path must be plain: letters, digits, - and _ between single slashes"
    return ""


def _move_in(path: str) -> Move | None:
    found = [move for move in Move if move.value in path.lower()]
    return found[0] if len(found) == 1 else None
