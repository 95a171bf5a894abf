"""What make runs: `python tools COMMAND`. It is the template's; see README.md here."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The folder of the repository."""
