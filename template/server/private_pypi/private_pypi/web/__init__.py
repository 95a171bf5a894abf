"""The pages for people: static files, written when something changes, served by the gateway."""
