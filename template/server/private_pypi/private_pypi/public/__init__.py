"""What comes from PyPI: its pages and files, kept here and passed on by the owner's policy."""
