"""boto3 as it runs within an instance: it finds the role's credentials by itself, and asks STS and EC2 with them."""
import json

import boto3

sts, ec2 = boto3.client("sts"), boto3.client("ec2")
identity = sts.get_caller_identity()
vpcs = ec2.describe_vpcs()["Vpcs"]
print(json.dumps({"arn": identity["Arn"], "owners": sorted({vpc["OwnerId"] for vpc in vpcs})}))
