"""The ends of a copy: what gives content by digest, and what takes it."""
