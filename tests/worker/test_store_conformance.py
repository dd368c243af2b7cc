"""Every store that ships with the library passes the kit that its users get."""

import logging

import boto3
import pytest
from moto.server import ThreadedMotoServer
from obstore.store import LocalStore

from stagecall.testing.store_conformance import StoreConformance
from stagecall.worker.stores import FolderStore, MemoryStore, ObjectStore, Retry, open_store

from .s3_support import OPTIONS, REGION, s3_server

QUICK = Retry(first=0.001, most=0.01)
PARTS = 9 * 1_048_576
"""What does not go into one request."""


@pytest.fixture(scope="module")
def moto():
    """An S3 of moto's on loopback, with the bucket `bucket`: its address, and a client of it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", **keys)
    client.create_bucket(Bucket="bucket")
    yield f"http://{host}:{port}", client
    client.close()
    server.stop()


class TestMemory(StoreConformance):
    """Memory."""

    @pytest.fixture
    def store(self):
        return MemoryStore()


class TestFolder(StoreConformance):
    """A folder on disk."""

    @pytest.fixture
    def store(self, tmp_path):
        return FolderStore(tmp_path / "store")


class TestLocalObjects(StoreConformance):
    """Object storage as obstore has it in a folder."""

    large = PARTS
    test_only_objects_can_be_read = None  # type: ignore[assignment]
    departures = {
        "test_only_objects_can_be_read": "obstore calls it an error, not an absence, where a file lies in the way"
    }

    @pytest.fixture
    def store(self, tmp_path):
        def connect(tries):
            return LocalStore(tmp_path / "store", mkdir=True)

        return ObjectStore(connect, "file:///store", metadata=False)


class TestMoto(StoreConformance):
    """S3 as moto plays it: nothing is left under way either."""

    large = PARTS

    @pytest.fixture
    def store(self, moto):
        url, client = moto
        options = {"endpoint": url, "region": "us-east-1", "allow_http": True}
        keys = {"access_key_id": "key", "secret_access_key": "secret"}
        yield open_store("s3://bucket/some/prefix", options={**options, **keys}, retry=QUICK)
        assert "Uploads" not in client.list_multipart_uploads(Bucket="bucket")


class TestSigned(StoreConformance):
    """S3 that checks every signature."""

    large = PARTS

    @pytest.fixture
    def store(self):
        with s3_server() as server:
            yield open_store(
                "s3://bucket/some/prefix",
                options={**OPTIONS, "endpoint": server.url, "region": REGION},
                public_url="https://cdn.example.com/artifacts",
                retry=QUICK,
            )
            assert server.uploads == {}
