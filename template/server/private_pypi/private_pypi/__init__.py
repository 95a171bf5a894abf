"""A private package index: pypiserver behind accounts and roles, with an index of its own."""
