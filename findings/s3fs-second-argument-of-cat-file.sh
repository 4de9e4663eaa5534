#!/usr/bin/env bash
# s3fs takes the second argument of cat_file for a version, where fsspec's other stores take it for the start
#
# Versions: s3fs 2026.9.0, fsspec 2026.9.0, moto 5.2.5 as the S3 server on loopback (CPython 3.11)
# One expects: `fs.cat_file(path, 2, 5)` returns bytes 2 to 5 of a file in every store, as fsspec's
#   `AbstractFileSystem.cat_file(path, start=None, end=None)` has it.
# What happens: s3fs has `version_id` between them. With two numbers, the end is taken for the start, and the start
#   for a version, which is refused as no text. By name (`start=2, end=5`) all stores agree.
# Output seen:
#   memory, by place: b'cde'
#   s3, by place: ParamValidationError
#   s3, by name: b'cde'
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check s3fs==2026.9.0 'moto[server]==5.2.5'
venv/bin/python - <<'PY'
import logging
import os

import fsspec
import s3fs
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").disabled = True
os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
memory = fsspec.filesystem("memory")
s3 = s3fs.S3FileSystem(endpoint_url=f"http://127.0.0.1:{server.get_host_and_port()[1]}")
s3.call_s3("create_bucket", Bucket="files")
for fs in (memory, s3):
    fs.pipe("/files/letters" if fs is memory else "files/letters", b"abcdefgh")

in_memory = memory.cat_file("/files/letters", 2, 5)
print(f"memory, by place: {in_memory}")
try:
    by_place = repr(s3.cat_file("files/letters", 2, 5))
except Exception as error:
    by_place = type(error).__name__
print(f"s3, by place: {by_place}")
by_name = s3.cat_file("files/letters", start=2, end=5)
print(f"s3, by name: {by_name}")
server.stop()
assert (in_memory, by_place, by_name) == (b"cde", "ParamValidationError", b"cde")
PY
