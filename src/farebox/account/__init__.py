"""What is done with accounts and keys, outside a call."""
