"""What the core needs of the outside, one file per subject. A port is a Protocol; its adapters pass the same tests."""
