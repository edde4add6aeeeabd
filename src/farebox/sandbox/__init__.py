"""The stand-ins that Farebox runs on when nothing is configured."""
