"""A store is told by a URL, and what cannot be one is the operator's mistake, told before anything runs."""

import pytest

from stagecall.lifecycle.errors import ConfigurationError
from stagecall.worker.stores import open_store

REFUSED = [
    ("http://host/", {}, "unknown scheme 'http'"),
    ("file://[", {}, "Invalid IPv6 URL"),
    ("file:relative", {}, "a folder is written file:///absolute/path"),
    ("file://host/folder", {}, "a folder is written file:///absolute/path"),
    ("file:///folder", {"options": {"region": "x"}}, "a folder has no options, not region"),
    ("memory://name", {}, "memory has no names"),
    ("memory://", {"options": {"size": 1}}, "the only option of memory is limit, not size"),
    ("memory://", {"options": {"limit": "100"}}, "limit must be 0 or more bytes, not '100'"),
    ("memory://", {"options": {"limit": True}}, "limit must be 0 or more bytes, not True"),
    ("memory://", {"options": {"limit": -1}}, "limit must be 0 or more bytes, not -1"),
    ("memory://", {"public_url": "https://example.com"}, "memory has no public URL"),
    ("s3:///prefix", {}, "there is no bucket; write s3://BUCKET/PREFIX"),
    ("az:", {}, "there is no container; write az://CONTAINER/PREFIX"),
    ("file:///f", {"public_url": "ftp://example.com/"}, "must begin with http:// or https://"),
    ("file:///f", {"public_url": "https://["}, "the public URL 'https://[': Invalid IPv6 URL"),
    ("file:///f", {"public_url": "https:///folder"}, "must have a host"),
    ("file:///f", {"public_url": "https://example.com/?token="}, "nothing may follow a ? or #"),
    ("file:///f", {"public_url": "https://example.com/#"}, "nothing may follow a ? or #"),
]


@pytest.mark.parametrize(
    ("url", "others", "message"), REFUSED, ids=[f"{url} {why}" for url, _, why in REFUSED]
)
def test_what_cannot_be_a_store_is_refused(url, others, message):
    """In words that name the URL, what is wrong with it, and what is allowed; no run has begun then."""
    with pytest.raises(ConfigurationError) as caught:
        open_store(url, **others)

    assert str(caught.value).startswith(f"the artifact store {url!r}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "url", ["s3://key:s3cr3t@bucket/prefix", "s3://bucket/p?sig=s3cr3t", "s3://bucket/p#s3cr3t"]
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url):
    """A configuration is read and logged by many: credentials have no place in it, nor in the error about it."""
    with pytest.raises(ConfigurationError, match="no credentials belong into it") as caught:
        open_store(url)

    assert "s3cr3t" not in str(caught.value)
