"""The command `farebox dev`."""


def dev() -> None:
    """To come."""
