"""What make runs: `python tools COMMAND`. It is the template's; see README.md here."""
