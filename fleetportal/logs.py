"""What is never written to a log: addresses that are keys."""

import logging
import re
import traceback
from typing import Any

# A signature of django.core.signing with all that belongs to it: whatever path it stands in, it
# opens a page. And what Connect sends back with the driver.
_KEY = re.compile(
    r"[^\s/?&='\"<>]*[.:][A-Za-z0-9_-]{43}[^\s/?&'\"<>]*|(?<=[?&])(?:code|state)=[^\s&'\"<>]+"
)
HIDDEN = "(hidden)"


class HideKeys(logging.Filter):
    """Takes portal links, codes and states out of records; lets every record pass.

    The traceback becomes text for that, and what Django attaches of the request goes.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = _hide(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(_hide(value) for value in record.args)
        if record.exc_info and record.exc_info[0]:
            record.exc_text = _hide("".join(traceback.format_exception(*record.exc_info)).rstrip())
            record.exc_info = None
        vars(record).pop("request", None)
        return True


def _hide(value: Any) -> Any:
    return _KEY.sub(HIDDEN, value) if isinstance(value, str) else value
