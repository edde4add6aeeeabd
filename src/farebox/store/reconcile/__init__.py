"""Whether every sum is right: the checks of `farebox reconcile`, and what they find."""
