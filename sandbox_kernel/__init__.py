"""A Jupyter kernel that runs every cell in a confined worker process."""

__version__ = "0.1.0"
