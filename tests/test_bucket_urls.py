"""What a storage's URL may say, and how a wrong one is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.bucket_urls import Bucket
from tests.conftest import MakeSettings


@pytest.mark.parametrize(
    ("url", "bucket"),
    [
        ("s3://pictures", Bucket("pictures")),
        ("s3://pictures/", Bucket("pictures")),
        ("s3://pictures/relay/one?region=eu-central-1", Bucket("pictures", "relay/one", None, "eu-central-1")),
        ("s3://pictures?endpoint=http://minio:9000", Bucket("pictures", "", "http://minio:9000", None)),
        ("s3://pictures?endpoint=https%3A%2F%2Fs3.test", Bucket("pictures", "", "https://s3.test", None)),
    ],
)
def test_a_bucket_its_prefix_and_its_server_are_read(url: str, bucket: Bucket) -> None:
    assert Bucket.of(url) == bucket


WRONG = ["s3://", "s3:pictures", "s3://P", "gs://pictures", "pictures", "s3://pictures/../x", "s3://pictures/a//b"]
WRONG += ["s3://pictures?endpoint=ftp://x", "s3://pictures?endpoint=http://u:geheim@x", "s3://pictures?acl=public"]
WRONG += ["s3://key:geheim@pictures", "s3://pictures?region=EU!", "s3://pictures#x", "comfyui:x", "s3://[geheim"]


@pytest.mark.parametrize("url", WRONG)
def test_a_wrong_url_stops_the_start_and_is_not_quoted(make_settings: MakeSettings, url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        make_settings(storage_url=url)

    (error,) = refused.value.errors()
    assert error["loc"] == ("storage_url",)
    assert "geheim" not in error["msg"]


@pytest.mark.parametrize("given", [{"storage_key_id": "a"}, {"storage_secret": "b"}])
def test_half_a_pair_of_credentials_stops_the_start(make_settings: MakeSettings, given: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="together"):
        make_settings(**given)


def test_empty_settings_count_as_unset(make_settings: MakeSettings) -> None:
    settings = make_settings(storage_url="", storage_key_id="", storage_secret="")

    assert (settings.storage_url, settings.storage_key_id, settings.storage_secret) == (None, None, None)
