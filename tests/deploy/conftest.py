"""The S3 server of the adapters' tests, for what the full stack does with a bucket."""

from __future__ import annotations

from tests.adapters.conftest import s3_root, s3_server

__all__ = ["s3_root", "s3_server"]
