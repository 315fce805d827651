"""The workshop's own scripts: standard library only, no part of the product."""
