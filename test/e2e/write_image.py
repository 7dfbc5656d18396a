"""Copies an image through the EBS direct APIs with boto3 alone: each block is read, and written into a new snapshot.

Usage: write_image.py ENDPOINT IMAGE. Prints the id of the image that is registered of it.
"""

import base64
import hashlib
import sys

import boto3

endpoint, image_id = sys.argv[1:]
settings = {"region_name": "us-east-1", "endpoint_url": endpoint}
keys = {"aws_access_key_id": "111122223333", "aws_secret_access_key": "any"}
ec2 = boto3.client("ec2", **settings, **keys)
ebs = boto3.client("ebs", **settings, **keys)
completed = ec2.get_waiter("snapshot_completed")
patience = {"Delay": 0.3, "MaxAttempts": 600}


def digest(content):
    return hashlib.sha256(content).digest()


def blocks_of(snapshot):
    """All blocks of a snapshot; this version of boto3 may have no paginator for them."""
    page = {}
    while True:
        page = ebs.list_snapshot_blocks(SnapshotId=snapshot, MaxResults=100, **page)
        yield from page["Blocks"]
        if not page.get("NextToken"):
            return
        page = {"NextToken": page["NextToken"]}


image = ec2.describe_images(ImageIds=[image_id])["Images"][0]
root = image["BlockDeviceMappings"][0]["Ebs"]
# A public snapshot is read through a copy of one's own.
source = ec2.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=root["SnapshotId"])["SnapshotId"]
completed.wait(SnapshotIds=[source], WaiterConfig=patience)

target = ebs.start_snapshot(VolumeSize=root["VolumeSize"], Description="written by boto3")["SnapshotId"]
sums = []
for block in blocks_of(source):
    index = block["BlockIndex"]
    got = ebs.get_snapshot_block(SnapshotId=source, BlockIndex=index, BlockToken=block["BlockToken"])
    content = got["BlockData"].read()
    checksum = base64.b64encode(digest(content)).decode()
    assert got["Checksum"] == checksum, f"block {index} is not what its checksum says"
    ebs.put_snapshot_block(
        SnapshotId=target,
        BlockIndex=index,
        BlockData=content,
        DataLength=len(content),
        Checksum=checksum,
        ChecksumAlgorithm="SHA256",
    )
    sums.append(digest(content))
ebs.complete_snapshot(
    SnapshotId=target,
    ChangedBlocksCount=len(sums),
    Checksum=base64.b64encode(digest(b"".join(sums))).decode(),
    ChecksumAlgorithm="SHA256",
    ChecksumAggregationMethod="LINEAR",
)
completed.wait(SnapshotIds=[target], WaiterConfig=patience)
made = ec2.register_image(
    Name="written by boto3",
    RootDeviceName=image["RootDeviceName"],
    VirtualizationType="hvm",
    Architecture="x86_64",
    EnaSupport=True,
    BlockDeviceMappings=[{"DeviceName": image["RootDeviceName"], "Ebs": {"SnapshotId": target}}],
)
print(made["ImageId"])
