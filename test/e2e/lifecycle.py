"""The walk of the AMI lifecycle with boto3 alone: its own clients, waiters and error classes.

Usage: lifecycle.py ENDPOINT. Prints a line a step; ends with 1 at the first thing that is not as it should be.
"""

import base64
import os
import subprocess
import sys
import tempfile
import time

import boto3
import botocore.exceptions

endpoint = sys.argv[1]
scratch = tempfile.TemporaryDirectory(prefix="kiln-boto3-")  # removed at the end, whatever the end
folder = scratch.name
keys = {"aws_access_key_id": "111122223333", "aws_secret_access_key": "any"}


def client(region):
    return boto3.client("ec2", region_name=region, endpoint_url=endpoint, **keys)


here, there = client("us-east-1"), client("eu-west-1")


def wait(ec2, name, **which):
    ec2.get_waiter(name).wait(WaiterConfig={"Delay": 0.3, "MaxAttempts": 900}, **which)


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        return
    raise AssertionError(f"{code} was expected")


def prepare(ec2):
    """A key and a group that opens SSH, in that client's region."""
    name = f"key-{ec2.meta.region_name}"
    path = f"{folder}/{name}"
    with open(path, "w", opener=lambda p, flags: os.open(p, flags, 0o600)) as file:
        file.write(ec2.create_key_pair(KeyName=name, KeyType="ed25519")["KeyMaterial"])
    group = ec2.create_security_group(GroupName="ssh", Description="logins")["GroupId"]
    permission = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    return {"name": name, "path": path, "group": group}


def launch(ec2, access, image, **more):
    arguments = {"InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1, **more}
    answer = ec2.run_instances(ImageId=image, KeyName=access["name"], SecurityGroupIds=[access["group"]], **arguments)
    ids = [instance["InstanceId"] for instance in answer["Instances"]]
    assert all(instance["State"]["Name"] == "pending" for instance in answer["Instances"])
    wait(ec2, "instance_running", InstanceIds=ids)
    wait(ec2, "instance_status_ok", InstanceIds=ids)
    return ids


def describe(ec2, instance):
    return ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]


def guest(ec2, access, instance, command):
    address = describe(ec2, instance)["PublicIpAddress"]
    options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=10"]
    login = ["ssh", "-q", "-i", access["path"], *[f"-o{option}" for option in options], f"ec2-user@{address}"]
    for attempt in range(60):
        done = subprocess.run([*login, command], capture_output=True, text=True, timeout=120)
        if done.returncode != 255:
            assert done.returncode == 0, done
            return done.stdout.strip()
        time.sleep(1)
    raise AssertionError(f"no login at {address}: {done.stderr}")


def step(text):
    print(text, flush=True)


access = prepare(here)
[image] = here.describe_images(Owners=["amazon"], Filters=[{"Name": "name", "Values": ["kiln-linux-*-x86_64-ebs"]}])["Images"]
assert image["Public"] and image["State"] == "available" and image["RootDeviceType"] == "ebs"

user_data = "#!/bin/sh\necho from user data > /etc/made-by-user-data\n"
first, second = launch(here, access, image["ImageId"], MinCount=2, MaxCount=2, UserData=user_data)
step("two instances of one image run and pass their checks")
assert describe(here, first)["PublicIpAddress"] != describe(here, second)["PublicIpAddress"]
assert guest(here, access, first, "sudo -n id -u") == "0"
for _ in range(30):
    made = guest(here, access, first, "cat /etc/made-by-user-data 2>/dev/null || true")
    if made:
        break
    time.sleep(1)
assert made == "from user data", made
guest(here, access, first, "echo kept > note.txt && sync")
screen = base64.b64decode(here.get_console_screenshot(InstanceId=first, WakeUp=True)["ImageData"])
assert screen.startswith(b"\xff\xd8\xff") and screen.endswith(b"\xff\xd9"), screen[:16]
step("user data ran; a file is written; the screen is a picture")

here.stop_instances(InstanceIds=[first])
wait(here, "instance_stopped", InstanceIds=[first])
refused("IncorrectInstanceState", here.stop_instances, InstanceIds=[first])
here.start_instances(InstanceIds=[first])
wait(here, "instance_running", InstanceIds=[first])
wait(here, "instance_status_ok", InstanceIds=[first])
assert guest(here, access, first, "cat note.txt") == "kept"
step("stopped and started: the file is there")

specification = [{"ResourceType": "image", "Tags": [{"Key": "stage", "Value": "golden"}]}]
golden = here.create_image(InstanceId=first, Name="golden", TagSpecifications=specification)["ImageId"]
wait(here, "image_available", ImageIds=[golden])
refused("InvalidAMIName.Duplicate", here.create_image, InstanceId=first, Name="golden")
assert [i["ImageId"] for i in here.describe_images(Filters=[{"Name": "tag:stage", "Values": ["gold*"]}])["Images"]] == [golden]
[third] = launch(here, access, golden)
assert guest(here, access, third, "cat note.txt") == "kept"
assert guest(here, access, first, "cat note.txt") == "kept"
step("image created with a reboot, launched: the file is there, and the instance is back")

live = here.create_image(InstanceId=third, Name="live", NoReboot=True)["ImageId"]
wait(here, "image_available", ImageIds=[live])
step("image created without a reboot")

root = describe(here, second)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
guest(here, access, second, "echo from a snapshot > note.txt && sync")
snapshot = here.create_snapshot(VolumeId=root, Description="by hand")["SnapshotId"]
wait(here, "snapshot_completed", SnapshotIds=[snapshot])
registered = here.register_image(
    Name="registered",
    Architecture="x86_64",
    RootDeviceName="/dev/xvda",
    VirtualizationType="hvm",
    EnaSupport=True,
    BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot, "VolumeSize": 2}}],
)["ImageId"]
refused("InvalidSnapshot.InUse", here.delete_snapshot, SnapshotId=snapshot)
keep = [{"DeviceName": "/dev/xvda", "Ebs": {"DeleteOnTermination": False}}]
[fourth] = launch(here, access, registered, InstanceType="t3.small", BlockDeviceMappings=keep)
assert guest(here, access, fourth, "cat note.txt") == "from a snapshot"
size = int(guest(here, access, fourth, "df -m / | tail -1 | awk '{print $2}'"))
assert size > 1500, size
step("image registered from a snapshot, launched with another type and a larger root, which is grown")

access_there = prepare(there)
copy = there.copy_image(SourceRegion="us-east-1", SourceImageId=golden, Name="golden copy")["ImageId"]
wait(there, "image_available", ImageIds=[copy])
[fifth] = launch(there, access_there, copy)
assert guest(there, access_there, fifth, "cat note.txt") == "kept"
step("image copied to a second region, launched there: the file is there")

here.deregister_image(ImageId=golden)
refused("InvalidAMIID.Unavailable", here.run_instances, ImageId=golden, MinCount=1, MaxCount=1)
assert describe(here, third)["State"]["Name"] == "running"
assert guest(here, access, third, "cat note.txt") == "kept"
deregistration = here.meta.service_model.operation_model("DeregisterImage").input_shape.members
if "DeleteAssociatedSnapshots" in deregistration:
    results = here.deregister_image(ImageId=registered, DeleteAssociatedSnapshots=True)["DeleteSnapshotResults"]
    assert results == [{"SnapshotId": snapshot, "ReturnCode": "success"}], results
else:  # boto3 before 2025, as Debian 12 has it
    here.deregister_image(ImageId=registered)
    here.delete_snapshot(SnapshotId=snapshot)
refused("InvalidSnapshot.NotFound", here.describe_snapshots, SnapshotIds=[snapshot])
step("deregistered: no new launch, its instances go on")

kept = describe(here, fourth)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
mine = [first, second, third, fourth]
here.terminate_instances(InstanceIds=mine)
there.terminate_instances(InstanceIds=[fifth])
wait(here, "instance_terminated", InstanceIds=mine)
wait(there, "instance_terminated", InstanceIds=[fifth])
assert [(v["VolumeId"], v["State"]) for v in here.describe_volumes()["Volumes"]] == [(kept, "available")]
assert there.describe_volumes()["Volumes"] == []
here.delete_volume(VolumeId=kept)
assert here.describe_volumes()["Volumes"] == []
step("terminated: the volume that was to stay is there, the others are gone")
