"""The pages that show runs while they happen, and afterwards as a file: `static/` is what a browser gets."""

from .site import Pages

__all__ = ["Pages"]
