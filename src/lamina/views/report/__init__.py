"""Pages: HTML files that need nothing else, of images, what they share and waste, what differs."""

from lamina.views.report.comparison import Side, comparison_page
from lamina.views.report.page import page

__all__ = ["Side", "comparison_page", "page"]
