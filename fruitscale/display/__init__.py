"""Progress on a terminal or in a notebook, and how numbers are written."""
