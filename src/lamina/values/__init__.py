"""One small immutable type per noun, so that no naked string travels. Pure: no I/O, no clock."""
