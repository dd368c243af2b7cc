"""The pages that show runs while they happen, and afterwards as a file: `static/` is what a browser gets.

`site.Pages` serves them behind a web hook; `export` makes the page that is one file, and needs no server.
"""
