"""Templates that people wrote, rendered where they can reach nothing but what is handed to them.

There is no file to include, no library to load, and no filter that could make a text huge. How
much they do and write is counted while they are rendered, so that none takes all time or memory.
"""

import re
from collections.abc import Mapping
from typing import Any

from django.template import Context, Engine, Library, Template, defaultfilters, defaulttags
from django.template.base import Lexer, Node, NodeList, Parser, Token

TAGS = ("comment", "firstof", "for", "if", "ifchanged", "spaceless", "templatetag", "verbatim")
# fmt: off
FILTERS = (
    "capfirst", "cut", "default", "default_if_none", "first", "last", "length", "lower",
    "pluralize", "slice", "title", "truncatechars", "truncatewords", "upper", "yesno",
)
# fmt: on
MOST_OF_SOURCE = 10_000  # characters
MOST_WRITTEN = 500_000  # characters
# Tags, placeholders, texts between them, and turns of loops: a summary of everything that fits
# into one takes some ten thousand.
MOST_STEPS = 30_000

# What is shown, on demand, for a name that nothing is known by.
UNKNOWN = re.compile("\0([^\0]*)\0")


class TooMuchError(Exception):
    """A template is too long, or does or writes too much."""


def render(source: str, values: Mapping[str, Any], *, show_unknown: bool = False) -> str:
    """What the template says with these values.

    With `show_unknown` a name that nothing is known by stands there as `UNKNOWN` finds it. Raises
    TooMuchError, and whatever a broken template raises.
    """
    if len(source) > MOST_OF_SOURCE:
        raise TooMuchError(f"it is too long: {MOST_OF_SOURCE} characters are the most")
    template = _Template(source, engine=_SHOWING_UNKNOWN if show_unknown else _ENGINE)
    return str(template.render(_Context(dict(values), autoescape=False)))


class _Context(Context):
    """Counts what is done and written; the loops of `for` are seen by the variables they set."""

    steps = 0
    written = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise TooMuchError("it does too much")

    def write(self, text: str, *, since: int) -> None:
        """What a tag writes holds what was written inside of it `since` it began."""
        self.written = since + len(text)
        if self.written > MOST_WRITTEN:
            raise TooMuchError("it writes too much")

    def __setitem__(self, key: Any, value: Any) -> None:
        self.step()
        super().__setitem__(key, value)

    def update(self, other_dict: Any) -> Any:
        self.step()
        return super().update(other_dict)


class _Counted(Node):
    """A node whose work is counted."""

    child_nodelists = ()

    def __init__(self, node: Node) -> None:
        self.node = node

    def render_annotated(self, context: Context) -> str:
        if not isinstance(context, _Context):
            raise TypeError(type(context).__name__)
        context.step()
        since = context.written
        text = str(self.node.render_annotated(context))
        context.write(text, since=since)
        return text


class _Parser(Parser):
    def extend_nodelist(self, nodelist: NodeList, node: Node, token: Token) -> None:
        super().extend_nodelist(nodelist, node, token)
        nodelist[-1] = _Counted(node)


class _Template(Template):
    def compile_nodelist(self) -> NodeList:
        parser = _Parser(
            Lexer(self.source).tokenize(),
            self.engine.template_libraries,
            self.engine.template_builtins,
            self.origin,
        )
        return parser.parse()


def _join(value: Any, separator: str) -> Any:
    """Only a list: the letters of a text, joined again and again, soon fill all memory."""
    return defaultfilters.join(value, separator, False) if isinstance(value, list) else value


def _floatformat(value: Any, decimals: str | int = -1) -> Any:
    if len(str(decimals)) > 3:  # such as 2, -2 or 2g
        raise TooMuchError("floatformat: it writes too much")
    return defaultfilters.floatformat(value, decimals)


def _library() -> Library:
    allowed = Library()
    allowed.tags = {name: defaulttags.register.tags[name] for name in TAGS}
    allowed.filters = {name: defaultfilters.register.filters[name] for name in FILTERS}
    allowed.filter("join", _join)
    allowed.filter("floatformat", _floatformat)
    return allowed


def _engine(**options: Any) -> Engine:
    engine = Engine(dirs=[], loaders=[], libraries={}, autoescape=False, **options)
    engine.template_builtins = [_library()]
    return engine


_ENGINE = _engine()
_SHOWING_UNKNOWN = _engine(string_if_invalid="\0%s\0")
