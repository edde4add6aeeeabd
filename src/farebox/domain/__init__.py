"""Pure rules: no I/O, no clock, no framework. Everything that decides or computes money lives here."""
