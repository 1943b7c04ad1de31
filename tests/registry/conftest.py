"""What the registry's tests share: an S3 server of their own, and stores of every kind."""

import os
import secrets
from unittest import mock

import pytest

from rfplatform.registry.store import Store


@pytest.fixture(scope="session")
def s3_server():
    """The endpoint of an S3 server in this process, with a bucket "bucket"."""
    import boto3
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with mock.patch.dict(os.environ, settings):
        boto3.client("s3").create_bucket(Bucket="bucket")
        s3fs.S3FileSystem.clear_instance_cache()
        yield settings["AWS_ENDPOINT_URL"]
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture
def s3_url(s3_server):  # noqa: ARG001  (it must be running)
    return f"s3://bucket/{secrets.token_hex(4)}"


@pytest.fixture(params=["folder", "memory", "s3"])
def store(request, tmp_path):
    """A store of every kind in turn, empty."""
    if request.param == "folder":
        return Store(str(tmp_path / "store"))
    if request.param == "memory":
        return Store(f"memory://{secrets.token_hex(4)}")
    return Store(request.getfixturevalue("s3_url"))
