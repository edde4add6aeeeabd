"""What the core needs of the outside, one file a subject. A port is a page of verbs; its adapters share a test."""
