"""Measures what the design promises about speed and size, each figure beside a bare floor from the same run; see README.md."""
