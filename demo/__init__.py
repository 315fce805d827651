"""The narrated demo: the textbook's two images on one shared base, with real software."""
