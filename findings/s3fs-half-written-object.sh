#!/usr/bin/env bash
# s3fs publishes half a recording when its writer fails, and an empty exclusive create empties what is there
#
# Versions: s3fs 2026.9.0, moto 5.2.5 as the S3 server on loopback (CPython 3.11)
# One expects: An exception inside `with fs.open(key, "wb")` leaves no object, since an upload that was never
#   completed is invisible in S3; and mode "xb" never touches an object that exists.
# What happens: Leaving the block completes the upload: the half is published under its final name as if whole.
#   "xb" does refuse to overwrite, but only where something is written: opened and closed without a byte, it
#   replaces the object with an empty one.
# Output seen:
#   after an exception the object is there with 1000 bytes
#   xb with bytes: FileExistsError, the object keeps its 500 bytes
#   xb without a byte: no error, the object has 0 bytes
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check s3fs==2026.9.0 'moto[server]==5.2.5'
venv/bin/python - <<'PY'
import logging
import os

import s3fs
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").disabled = True
os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
fs = s3fs.S3FileSystem(endpoint_url=f"http://127.0.0.1:{server.get_host_and_port()[1]}")
fs.call_s3("create_bucket", Bucket="recordings")

try:
    with fs.open("recordings/half.ogg", "wb") as file:
        file.write(b"h" * 1000)
        raise RuntimeError("the encoder failed")
except RuntimeError:
    pass
half = fs.info("recordings/half.ogg", refresh=True)["size"]
print(f"after an exception the object is there with {half} bytes")

fs.pipe("recordings/kept.ogg", b"k" * 500)
refused = "no error"
try:
    with fs.open("recordings/kept.ogg", "xb") as file:
        file.write(b"other")
except FileExistsError as error:
    refused = type(error).__name__
kept = len(fs.cat("recordings/kept.ogg"))
print(f"xb with bytes: {refused}, the object keeps its {kept} bytes")
with fs.open("recordings/kept.ogg", "xb"):
    pass
emptied = len(fs.cat("recordings/kept.ogg"))
print(f"xb without a byte: no error, the object has {emptied} bytes")
server.stop()
assert (half, refused, kept, emptied) == (1000, "FileExistsError", 500, 0)
PY
