"""Docker-shaped documents of what the engine knows: plain dicts for `--format` and for the wire."""
