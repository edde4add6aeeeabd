"""`python -m farebox` is `farebox`."""

from farebox.cli import main

main()
