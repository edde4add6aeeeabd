"""The command `farebox doctor`."""


def doctor() -> None:
    """To come."""
