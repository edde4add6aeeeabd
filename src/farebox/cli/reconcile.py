"""The command `farebox reconcile`."""


def reconcile() -> None:
    """To come."""
