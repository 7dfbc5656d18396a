"""Encryption keys through boto3's KMS client: made, named, listed, switched off and on, rotated, and refused.

Usage: keys.py ENDPOINT. Ends with 1 at the first thing that is not as it should be.
"""

import sys

import boto3
import botocore.exceptions

endpoint = sys.argv[1]


def client(service, account="777788889999", region="us-east-1"):
    keys = {"aws_access_key_id": account, "aws_secret_access_key": "any"}
    return boto3.client(service, region_name=region, endpoint_url=endpoint, **keys)


def expect(is_so, what):
    if not is_so:
        sys.exit(f"not so: {what}")


def refused(call, code, **arguments):
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as error:
        expect(error.response["Error"]["Code"] == code, f"{code}, but {error}")
        return
    sys.exit(f"not refused: {code}")


kms, ec2 = client("kms"), client("ec2")
key = kms.create_key(Description="for disks")["KeyMetadata"]
expect(key["KeyState"] == "Enabled" and key["KeyManager"] == "CUSTOMER", "a new key is enabled")
kms.create_alias(AliasName="alias/boto", TargetKeyId=key["KeyId"])
refused(kms.create_alias, "AlreadyExistsException", AliasName="alias/boto", TargetKeyId=key["KeyId"])
refused(kms.create_alias, "InvalidAliasNameException", AliasName="alias/aws/mine", TargetKeyId=key["KeyId"])
for name in [key["KeyId"], key["Arn"], "alias/boto", key["Arn"].split("key/")[0] + "alias/boto"]:
    expect(kms.describe_key(KeyId=name)["KeyMetadata"]["Arn"] == key["Arn"], f"{name} is the key")
managed = kms.describe_key(KeyId="alias/aws/ebs")["KeyMetadata"]
expect(managed["KeyManager"] == "AWS", "alias/aws/ebs is managed")
listed = [row["KeyId"] for page in kms.get_paginator("list_keys").paginate(Limit=1) for row in page["Keys"]]
expect(sorted(listed) == sorted([key["KeyId"], managed["KeyId"]]), "both keys are listed, page by page")
aliases = {row["AliasName"]: row["TargetKeyId"] for row in kms.list_aliases()["Aliases"]}
expect(aliases == {"alias/aws/ebs": managed["KeyId"], "alias/boto": key["KeyId"]}, "aliases are listed")
expect(len(kms.list_aliases(KeyId=key["KeyId"])["Aliases"]) == 1, "aliases of one key are listed")

volume = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1, Encrypted=True, KmsKeyId="alias/boto")
expect(volume["KmsKeyId"] == key["Arn"], "the volume has the key")
# Debian 12's boto3 is older than the operation.
has_rotation = hasattr(kms, "rotate_key_on_demand")
if has_rotation:
    kms.rotate_key_on_demand(KeyId=key["KeyId"])
expect(kms.get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"] is False, "nothing rotates by itself")
kms.disable_key(KeyId=key["KeyId"])
expect(kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyState"] == "Disabled", "a disabled key says so")
if has_rotation:
    refused(kms.rotate_key_on_demand, "DisabledException", KeyId=key["KeyId"])
kms.enable_key(KeyId=key["KeyId"])

refused(kms.describe_key, "NotFoundException", KeyId="alias/none")
refused(client("kms", region="eu-west-1").describe_key, "NotFoundException", KeyId=key["KeyId"])
refused(client("kms", account="444455556666").disable_key, "NotFoundException", KeyId=key["Arn"])
refused(kms.schedule_key_deletion, "UnsupportedOperationException", KeyId=key["KeyId"])
refused(kms.encrypt, "UnsupportedOperationException", KeyId=key["KeyId"], Plaintext=b"x")
refused(kms.create_key, "UnsupportedOperationException", KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
print("keys: as they should be")
