"""A private package index: pypiserver with accounts, roles and storage that suit a team."""
