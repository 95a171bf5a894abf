"""A library that only your team can install."""


def greeting() -> str:
    """Return a sentence that proves where it came from."""
    return "hello from my-private-lib"
