"""The report: one HTML file that needs nothing else, of images, what they share and waste."""

from lamina.views.report.page import page

__all__ = ["page"]
