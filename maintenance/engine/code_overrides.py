"""What a fleet decided about trouble codes, laid over what the dictionary says of them. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate

from maintenance.engine.trouble_codes import Severity, decode, explain

_WILD = "*?["
_PATTERN = re.compile(r"[PBCU](?:[0-9A-F*?-]|\[!?[0-9A-F]+(?:-[0-9A-F])?\])*", re.ASCII)
_REMEMBERED = 10_000  # codes; a fleet sees some hundred, but what cars call a code is open


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One decision, for an exact code or a shell pattern (`P03*`), as `normal` writes it.

    `severity` None and `text` "" leave what the dictionary says.
    """

    id: int
    pattern: str
    severity: Severity | None = None
    is_ignored: bool = False
    text: str = ""

    @property
    def is_exact(self) -> bool:
        return not any(sign in self.pattern for sign in _WILD)

    @property
    def prefix(self) -> str:
        """What stands before the first sign that means anything."""
        places = [place for sign in _WILD if (place := self.pattern.find(sign)) >= 0]
        return self.pattern[: min(places, default=len(self.pattern))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What counts for one code: `own_meaning` is the fleet's own text, "" without one."""

    severity: Severity
    is_ignored: bool = False
    own_meaning: str = ""

    @property
    def is_critical(self) -> bool:
        return self.severity is Severity.CRITICAL


class CodeBook:
    """The dictionary with the fleet's overrides; without any, the dictionary alone.

    Never changes; it is kept for many cars, so what was judged once is remembered.
    """

    def __init__(self, overrides: Iterable[Override] = ()) -> None:
        # The most specific first: more letters before the first sign, then the lowest id.
        ranked = sorted(overrides, key=lambda each: (-len(each.prefix), each.id))
        self._exact = {each.pattern: each for each in reversed(ranked) if each.is_exact}
        self._patterns = [
            (re.compile(translate(each.pattern)), each) for each in ranked if not each.is_exact
        ]
        self._judged: dict[str, Judged] = {}

    def judge(self, code: str) -> Judged:
        """How serious a code is, as a car reported it, and whether it is ignored."""
        judged = self._judged.get(code)
        if judged is None:
            if len(self._judged) >= _REMEMBERED:
                self._judged.clear()
            judged = self._judged[code] = self._judge(code)
        return judged

    def choose(self, code: str) -> Override | None:
        """The most specific override of a code, or None.

        An exact code wins over any pattern. A pattern without a failure type holds for the code
        with any; the failure type is written after a hyphen, however the car writes it.
        """
        names = _names(code)
        for name in names:
            if name in self._exact:
                return self._exact[name]
        fitting = (own for sign, own in self._patterns if any(map(sign.match, names)))
        return next(fitting, None)

    def _judge(self, code: str) -> Judged:
        known, own = explain(code), self.choose(code)
        if own is None:
            return Judged(severity=known.severity)
        return Judged(
            severity=own.severity or known.severity,
            is_ignored=own.is_ignored,
            own_meaning=own.text,
        )


def normal(pattern: str) -> str | None:
    """The code or pattern as it is kept, in capitals; None when no code could ever fit it."""
    typed = pattern.strip().upper()
    if (code := decode(typed)) is not None:
        return f"{code.code}-{code.failure_type}" if code.failure_type else code.code
    is_pattern = any(sign in typed for sign in _WILD) and _PATTERN.fullmatch(typed)
    return typed if is_pattern else None


def _names(code: str) -> tuple[str, ...]:
    """What a pattern may call the code, the longest name first."""
    known = explain(code)
    if not known.failure_type:
        return (known.code,)
    return f"{known.code}-{known.failure_type}", known.code
