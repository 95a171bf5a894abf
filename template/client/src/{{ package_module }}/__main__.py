"""Runs the app with `python -m`."""

import sys

from .app import main

sys.exit(main())
