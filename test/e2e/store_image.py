"""Stores an image as one object with boto3 alone, carries it to another region, and restores it there.

Usage: store_image.py ENDPOINT. Prints the id of the image in eu-north-1.
"""

import io
import sys
import time

import boto3

endpoint = sys.argv[1]
keys = {"aws_access_key_id": "111122223333", "aws_secret_access_key": "any"}


def client(service, region):
    return boto3.client(service, region_name=region, endpoint_url=endpoint, **keys)


here, there = "us-east-1", "eu-north-1"
ec2, s3 = client("ec2", here), client("s3", here)
image = ec2.describe_images(Owners=["amazon"], Filters=[{"Name": "root-device-type", "Values": ["ebs"]}])["Images"][0]
s3.create_bucket(Bucket="stored-here")
key = ec2.create_store_image_task(ImageId=image["ImageId"], Bucket="stored-here")["ObjectKey"]
while True:
    task = ec2.describe_store_image_tasks(ImageIds=[image["ImageId"]])["StoreImageTaskResults"][0]
    if task["StoreTaskState"] != "InProgress":
        break
    time.sleep(0.2)
assert task["StoreTaskState"] == "Completed", task
head = s3.head_object(Bucket="stored-here", Key=key)
assert head["Metadata"]["ami-name"] == image["Name"], head

content = io.BytesIO()
s3.download_fileobj("stored-here", key, content)
content.seek(0)
ec2, s3 = client("ec2", there), client("s3", there)
s3.create_bucket(Bucket="carried-there", CreateBucketConfiguration={"LocationConstraint": there})
s3.upload_fileobj(content, "carried-there", "carried.bin")
made = ec2.create_restore_image_task(Bucket="carried-there", ObjectKey="carried.bin", Name="carried")["ImageId"]
ec2.get_waiter("image_available").wait(ImageIds=[made], WaiterConfig={"Delay": 0.3, "MaxAttempts": 600})
print(made)
