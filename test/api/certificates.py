"""Signing certificates through boto3's IAM client: uploaded, listed, switched off, deleted; each account has its own."""
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

url, first, second, third = sys.argv[1], *[open(path).read() for path in sys.argv[2:5]]


def iam(account):
    return boto3.client(
        "iam",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=account,
        aws_secret_access_key="kiln",
        config=Config(retries={"max_attempts": 1}),
    )


def refused(code, call, **parameters):
    try:
        call(**parameters)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        return error.response["Error"]["Message"]
    raise AssertionError(f"{code} was expected")


mine, other = iam("111122223333"), iam("444455556666")
assert mine.list_signing_certificates()["Certificates"] == []
made = mine.upload_signing_certificate(CertificateBody=first)["Certificate"]
assert made["Status"] == "Active" and made["CertificateBody"].strip() == first.strip(), made
refused("DuplicateCertificate", mine.upload_signing_certificate, CertificateBody=first)
mine.upload_signing_certificate(CertificateBody=second)
refused("LimitExceeded", mine.upload_signing_certificate, CertificateBody=third)
assert len(mine.list_signing_certificates()["Certificates"]) == 2
assert other.list_signing_certificates()["Certificates"] == []
refused("NoSuchEntity", other.delete_signing_certificate, CertificateId=made["CertificateId"])
mine.update_signing_certificate(CertificateId=made["CertificateId"], Status="Inactive")
states = {each["CertificateId"]: each["Status"] for each in mine.list_signing_certificates()["Certificates"]}
assert states[made["CertificateId"]] == "Inactive", states
mine.delete_signing_certificate(CertificateId=made["CertificateId"])
assert len(mine.list_signing_certificates()["Certificates"]) == 1
refused("MalformedCertificate", mine.upload_signing_certificate, CertificateBody="certificate")
refused("NoSuchEntity", mine.list_signing_certificates, UserName="somebody")
refused("UnsupportedOperation", mine.list_server_certificates)
mine.create_user(UserName="signer")
own = mine.upload_signing_certificate(UserName="signer", CertificateBody=third)["Certificate"]
assert own["UserName"] == "signer", own
assert [each["CertificateId"] for each in mine.list_signing_certificates(UserName="signer")["Certificates"]] == [own["CertificateId"]]
refused("DeleteConflict", mine.delete_user, UserName="signer")
mine.delete_signing_certificate(UserName="signer", CertificateId=own["CertificateId"])
mine.delete_user(UserName="signer")
print("certificates: as they should be")
