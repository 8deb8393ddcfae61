"""Ends a test with 77, which CTest counts as skipped, where a package is missing."""

import importlib
import sys


def packages(*names: str) -> None:
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            print(f"skipped: {error}")
            sys.exit(77)
