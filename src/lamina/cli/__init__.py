"""The `lamina` command: parse, call the engine, render. Knows nothing below the engine."""
