#!/usr/bin/env python
"""Django's command line for Fleet Portal."""

import os
import sys


def main() -> None:
    if sys.argv[1:2] == ["demo"]:
        from fleetportal.demo import environment

        environment.enter(sys.argv)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleetportal.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
