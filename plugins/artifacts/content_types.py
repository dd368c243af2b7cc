"""MIME types by extension: one fixed table, so that a task gives the same types on every host and Python."""

from __future__ import annotations

import posixpath

OCTET_STREAM = "application/octet-stream"

_TYPES = """
application/epub+zip epub
application/gzip gz tgz
application/java-archive jar war
application/json json map
application/msword doc
application/octet-stream bin dll dmg exe img iso msi so
application/ogg ogx
application/pdf pdf
application/postscript ai eps ps
application/rtf rtf
application/toml toml
application/vnd.android.package-archive apk
application/vnd.apple.mpegurl m3u8
application/vnd.debian.binary-package deb
application/vnd.ms-excel xls
application/vnd.ms-powerpoint ppt
application/vnd.oasis.opendocument.spreadsheet ods
application/vnd.oasis.opendocument.text odt
application/vnd.openxmlformats-officedocument.presentationml.presentation pptx
application/vnd.openxmlformats-officedocument.spreadsheetml.sheet xlsx
application/vnd.openxmlformats-officedocument.wordprocessingml.document docx
application/vnd.rar rar
application/vnd.sqlite3 sqlite sqlite3
application/wasm wasm
application/x-7z-compressed 7z
application/x-bzip2 bz2 tbz2
application/x-ndjson jsonl ndjson
application/x-rpm rpm
application/x-sh sh
application/x-tar tar
application/x-xz txz xz
application/xhtml+xml xhtml
application/xml xml xsd xsl
application/yaml yaml yml
application/zip whl xpi zip
application/zstd zst
audio/aac aac
audio/flac flac
audio/midi mid midi
audio/mp4 m4a
audio/mpeg mp3
audio/ogg oga ogg opus
audio/wav wav
font/otf otf
font/ttf ttf
font/woff woff
font/woff2 woff2
image/avif avif
image/bmp bmp
image/gif gif
image/jpeg jpeg jpg
image/png png
image/svg+xml svg
image/tiff tif tiff
image/vnd.microsoft.icon ico
image/webp webp
text/css css
text/csv csv
text/html htm html
text/javascript js mjs
text/markdown markdown md
text/plain c cfg cpp diff err h ini log out patch txt
text/tab-separated-values tsv
text/x-python py
text/x-rst rst
video/mp4 m4v mp4
video/mpeg mpeg mpg
video/ogg ogv
video/quicktime mov
video/webm webm
video/x-msvideo avi
"""

TYPES = {
    extension: content_type
    for content_type, *extensions in map(str.split, _TYPES.strip().splitlines())
    for extension in extensions
}
"""Extension, in lower case and without its dot -> MIME type."""


def content_type(path: str, name: str) -> str:
    """Return the MIME type of the file at `path`, by its extension, else by that of the artifact's `name`.

    >>> content_type("dist/app.tar.GZ", "public/app"), content_type("dist/app", "public/app.html")
    ('application/gzip', 'text/html')
    """
    return _by_extension(path) or _by_extension(name) or OCTET_STREAM


def _by_extension(path: str) -> str | None:
    return TYPES.get(posixpath.splitext(path)[1][1:].lower())
