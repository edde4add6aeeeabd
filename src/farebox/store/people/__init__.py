"""People in the database: who they are, how they log in, and which accounts they are in. Loaded by pages only."""
