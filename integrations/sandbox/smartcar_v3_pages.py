"""v3's lists: pages by number, with links, as recorded traffic shows them."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from integrations.sandbox.messages import Reply, Request, json_reply
from integrations.sandbox.smartcar_errors import SmartcarError

DEFAULT_SIZE, LARGEST_SIZE = 10, 100
Row = TypeVar("Row")


def page_asked(request: Request, *, size: int = DEFAULT_SIZE) -> tuple[int, int]:
    """Return number and size of the page asked for. Raises for a page there cannot be."""
    number_text = request.param("page[number]", "1")
    size_text = request.param("page[size]", str(size))
    for text, most in ((number_text, None), (size_text, LARGEST_SIZE)):
        if not text.isdecimal() or int(text) < 1 or (most is not None and int(text) > most):
            raise SmartcarError(
                type="VALIDATION",
                code="INVALID_INPUT_FORMAT",
                description=f"page[number] begins at 1; page[size] is at most {LARGEST_SIZE}.",
            )
    return int(number_text), int(size_text)


def page_url(request: Request, origin: str, number: int, size: int) -> str:
    """Return the whole address of another page of the same list."""
    filters = {name: values[0] for name, values in request.query.items() if name[:6] == "filter"}
    query = {"page[number]": number, "page[size]": size, **filters}
    return f"{origin}{request.path}?{urlencode(query)}"


def list_reply(
    request: Request, origin: str, rows: Sequence[Row], render: Callable[[Row], dict[str, Any]]
) -> Reply:
    """Return the page asked for of `rows`, which are the newest first."""
    number, size = page_asked(request)
    last = max(1, -(-len(rows) // size))

    def link(there: int) -> str | None:
        return page_url(request, origin, there, size) if 1 <= there <= last else None

    body = {
        "data": [render(row) for row in rows[(number - 1) * size : number * size]],
        "meta": {
            "pageNumber": number,
            "pageSize": size,
            "totalCount": len(rows),
            "orderBy": "createdAt",
            "orderDirection": "DESC",
        },
        "links": {
            "self": page_url(request, origin, number, size),
            "first": link(1),
            "last": link(last),
            "next": link(number + 1),
            "prev": link(number - 1),
        },
    }
    return json_reply(body)
