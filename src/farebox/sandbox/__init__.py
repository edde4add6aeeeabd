"""What Farebox runs on with nothing configured."""
