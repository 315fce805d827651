"""One file per command: what it takes, and how it calls the engine and renders."""
