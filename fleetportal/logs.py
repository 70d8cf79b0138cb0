"""What is never written to a log: addresses that are keys."""

import logging
import re

# A signature of django.core.signing with all that belongs to it: whatever path it stands in, it
# opens a page. And what Connect sends back with the driver.
_KEY = re.compile(
    r"[^\s/?&='\"<>]*[.:][A-Za-z0-9_-]{43}[^\s/?&'\"<>]*|(?<=[?&])(?:code|state)=[^\s&'\"<>]+"
)
HIDDEN = "(hidden)"


class HideKeys(logging.Formatter):
    """Writes a record, its traceback included, without portal links, codes and states."""

    def format(self, record: logging.LogRecord) -> str:
        return _KEY.sub(HIDDEN, super().format(record))
