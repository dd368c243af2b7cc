"""The pages that show runs while they happen, and afterwards as a file: `static/` is what a browser gets."""
