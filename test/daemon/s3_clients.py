"""boto3 on Kiln's S3: multipart uploads, ranged reads, each way of signing. The last line is a form for curl."""
import hashlib
import io
import json
import os
import sys
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

endpoint = sys.argv[1]
BUCKET = "boto-bucket"


def client(**config):
    style = {"addressing_style": "path"}
    return boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=Config(s3=style, **config))


def read(url):
    # No proxy stands between this test and this machine.
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url).read()


s3 = client()
s3.create_bucket(Bucket=BUCKET)

content = os.urandom(33 * 1024 * 1024 + 11)
parts = TransferConfig(multipart_threshold=8 * 1024 * 1024, multipart_chunksize=8 * 1024 * 1024, max_concurrency=4)
s3.upload_fileobj(io.BytesIO(content), BUCKET, "in parts", Config=parts, ExtraArgs={"Metadata": {"made": "by boto"}})
head = s3.head_object(Bucket=BUCKET, Key="in parts")
assert head["ETag"].endswith('-5"'), head["ETag"]
assert head["ContentLength"] == len(content) and head["Metadata"] == {"made": "by boto"}, head

back = io.BytesIO()
s3.download_fileobj(BUCKET, "in parts", back, Config=parts)
assert hashlib.sha256(back.getvalue()).digest() == hashlib.sha256(content).digest()
for start, end in [(0, 0), (8 * 1024 * 1024 - 3, 8 * 1024 * 1024 + 3), (len(content) - 5, len(content) - 1)]:
    got = s3.get_object(Bucket=BUCKET, Key="in parts", Range=f"bytes={start}-{end}")
    assert got["Body"].read() == content[start : end + 1], (start, end)
    assert got["ContentRange"] == f"bytes {start}-{end}/{len(content)}", got["ContentRange"]

for algorithm in ["CRC32", "SHA1", "SHA256"]:
    s3.put_object(Bucket=BUCKET, Key=algorithm, Body=b"checked", ChecksumAlgorithm=algorithm)
    checked = s3.get_object(Bucket=BUCKET, Key=algorithm, ChecksumMode="ENABLED")
    assert checked["Body"].read() == b"checked" and checked["Checksum" + algorithm], checked

keys = [f"many/{number:03}" for number in range(25)] + ["ü/ö", "a b+c%"]
for key in keys:
    s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, PaginationConfig={"PageSize": 7})
listed = [item["Key"] for page in pages for item in page.get("Contents", [])]
assert set(keys) <= set(listed) and listed == sorted(listed, key=str.encode), listed
for key in keys:
    assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == key.encode()

# Signature version 2, as the classic tools sign: in the header, and in a URL.
old = client(signature_version="s3")
old.put_object(Bucket=BUCKET, Key="old way", Body=b"signed the old way", Metadata={"b": "2", "a": "1"})
assert old.get_object(Bucket=BUCKET, Key="old way")["Metadata"] == {"a": "1", "b": "2"}
assert [b["Name"] for b in old.list_buckets()["Buckets"] if b["Name"] == BUCKET] == [BUCKET]
place = {"Bucket": BUCKET, "Key": "old way"}
overridden = {**place, "ResponseContentType": "text/x"}
for signer in [s3, client(signature_version="s3"), client(signature_version="s3-query")]:
    assert read(signer.generate_presigned_url("get_object", overridden)) == b"signed the old way"

# Whoever has no key, or a wrong secret, has nothing.
for key_id, secret in [("AKIANOBODY", "x"), (os.environ["AWS_ACCESS_KEY_ID"], "wrong")]:
    for version in ["s3v4", "s3"]:
        thief = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            config=Config(signature_version=version, s3={"addressing_style": "path"}),
        )
        try:
            thief.get_object(**place)
            raise AssertionError("read with " + key_id)
        except ClientError as error:
            expected = "InvalidAccessKeyId" if key_id == "AKIANOBODY" else "SignatureDoesNotMatch"
            assert error.response["Error"]["Code"] == expected, error

print(json.dumps(s3.generate_presigned_post(BUCKET, "by form", Conditions=[["content-length-range", 1, 100]])))
