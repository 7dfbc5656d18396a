# Every resource that people make around images, in one configuration. Tests apply it, plan again, and destroy it.
#
# The provider waits before its first look at some things, ten seconds and more, whatever the cloud answers. So nothing here
# depends on more than it needs: the longest ways are an instance and then its volume's attachment, and an instance, its
# image and the copy of the image's snapshot. A second configuration of the provider would start its program, of 700 MB,
# nine times more over three commands: the image that is copied between regions is one that exists before.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "endpoint" {
  type = string
}

variable "public_key" {
  type = string
}

# An image of another region, to be copied.
variable "distant_image" {
  type = string
}

variable "distant_region" {
  type = string
}

# Where there are real guests: the private key's file, with which a provisioner logs in.
variable "private_key_file" {
  type    = string
  default = null
}

provider "aws" {
  region            = "us-east-1"
  access_key        = "123456789012"
  secret_key        = "any"
  s3_use_path_style = true
  endpoints {
    ec2 = var.endpoint
    sts = var.endpoint
    iam = var.endpoint
    s3  = var.endpoint
  }
}

data "aws_ami" "linux" {
  most_recent = true
  owners      = ["amazon"]
  filter {
    name   = "name"
    values = ["kiln-linux-*-ebs"]
  }
}

data "aws_caller_identity" "me" {}

resource "aws_vpc" "lab" {
  cidr_block = "10.30.0.0/16"
  tags       = { Name = "lab" }
}

resource "aws_subnet" "open" {
  vpc_id            = aws_vpc.lab.id
  cidr_block        = "10.30.1.0/24"
  availability_zone = "us-east-1a"
}

resource "aws_subnet" "closed" {
  vpc_id            = aws_vpc.lab.id
  cidr_block        = "10.30.2.0/24"
  availability_zone = "us-east-1b"
}

resource "aws_vpc" "named" {
  cidr_block           = "10.31.0.0/16"
  enable_dns_hostnames = true
}

resource "aws_subnet" "public" {
  vpc_id                  = aws_vpc.lab.id
  cidr_block              = "10.30.3.0/24"
  availability_zone       = "us-east-1a"
  map_public_ip_on_launch = true
}

resource "aws_internet_gateway" "out" {
  vpc_id = aws_vpc.lab.id
}

resource "aws_route_table" "open" {
  vpc_id = aws_vpc.lab.id
  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.out.id
  }
}

resource "aws_route_table_association" "open" {
  subnet_id      = aws_subnet.open.id
  route_table_id = aws_route_table.open.id
}

resource "aws_key_pair" "me" {
  key_name   = "terraform"
  public_key = var.public_key
}

resource "aws_security_group" "web" {
  name        = "web"
  description = "SSH and HTTP"
  vpc_id      = aws_vpc.lab.id
  ingress {
    description = "SSH"
    from_port   = 22
    to_port     = 22
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }
  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_vpc_security_group_ingress_rule" "http" {
  security_group_id = aws_security_group.own.id
  cidr_ipv4         = "0.0.0.0/0"
  from_port         = 80
  to_port           = 80
  ip_protocol       = "tcp"
}

resource "aws_vpc_security_group_egress_rule" "anywhere" {
  security_group_id = aws_security_group.own.id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"
}

resource "aws_security_group_rule" "inside" {
  security_group_id = aws_security_group.shared.id
  type              = "ingress"
  self              = true
  from_port         = 0
  to_port           = 65535
  protocol          = "tcp"
}

resource "aws_security_group" "shared" {
  name_prefix = "shared-"
  vpc_id      = aws_vpc.lab.id
}

resource "aws_security_group" "own" {
  name   = "own-rules"
  vpc_id = aws_vpc.lab.id
}

resource "aws_instance" "web" {
  ami                    = data.aws_ami.linux.id
  instance_type          = "t3.nano"
  key_name               = aws_key_pair.me.key_name
  subnet_id              = aws_subnet.open.id
  vpc_security_group_ids = [aws_security_group.web.id]
  user_data              = "#!/bin/sh\necho hello > /home/ec2-user/from-terraform\n"
  tags                   = { Name = "web" }
  root_block_device {
    volume_size = 2
    volume_type = "gp3"
  }
}

resource "aws_launch_template" "small" {
  name          = "small"
  image_id      = data.aws_ami.linux.id
  instance_type = "t3.nano"
  key_name      = aws_key_pair.me.key_name
  tags          = { Kind = "template" }
}

resource "aws_instance" "templated" {
  subnet_id = aws_subnet.closed.id
  launch_template {
    id      = aws_launch_template.small.id
    version = aws_launch_template.small.latest_version
  }
}

resource "aws_instance" "plain" {
  ami           = data.aws_ami.linux.id
  instance_type = "t3.nano"
  subnet_id     = aws_subnet.closed.id
  ebs_block_device {
    device_name = "/dev/sdg"
    volume_size = 1
  }
}

resource "aws_eip" "front" {
  domain = "vpc"
}

resource "aws_eip_association" "front" {
  allocation_id = aws_eip.front.id
  instance_id   = aws_instance.web.id
  # The gateway first, or the address would lead nowhere.
  depends_on = [aws_route_table_association.open]
}

resource "aws_ebs_volume" "data" {
  availability_zone = "us-east-1a"
  size              = 1
  type              = "gp3"
  tags              = { Name = "data" }
}

resource "aws_volume_attachment" "data" {
  device_name = "/dev/sdf"
  volume_id   = aws_ebs_volume.data.id
  instance_id = aws_instance.web.id
}

resource "aws_ebs_snapshot" "data" {
  volume_id = aws_ebs_volume.data.id
  tags      = { Name = "data" }
}

resource "aws_ebs_snapshot_copy" "plain" {
  source_snapshot_id = aws_ami_from_instance.plain.root_snapshot_id
  source_region      = "us-east-1"
}

resource "aws_ami_from_instance" "plain" {
  name               = "of-an-instance"
  source_instance_id = aws_instance.plain.id
}

resource "aws_ami" "data" {
  name                = "of-a-snapshot"
  root_device_name    = "/dev/xvda"
  virtualization_type = "hvm"
  architecture        = "x86_64"
  ena_support         = true
  ebs_block_device {
    device_name = "/dev/xvda"
    snapshot_id = aws_ebs_snapshot.data.id
    volume_size = 1
  }
}

resource "aws_ami_copy" "distant" {
  name              = "a-copy"
  source_ami_id     = var.distant_image
  source_ami_region = var.distant_region
}

resource "aws_ami_launch_permission" "plain" {
  image_id   = aws_ami_from_instance.plain.id
  account_id = "210987654321"
}

resource "aws_snapshot_create_volume_permission" "data" {
  snapshot_id = aws_ebs_snapshot.data.id
  account_id  = "210987654321"
}

resource "aws_ec2_image_block_public_access" "all" {
  state = "block-new-sharing"
}

resource "aws_ebs_snapshot_block_public_access" "all" {
  state = "block-new-sharing"
}

resource "aws_ebs_encryption_by_default" "off" {
  enabled = false
}

resource "aws_ec2_serial_console_access" "off" {
  enabled = false
}

resource "aws_ec2_instance_metadata_defaults" "tokens" {
  http_tokens = "optional"
}

resource "aws_s3_bucket" "files" {
  bucket = "terraform-${data.aws_caller_identity.me.account_id}"
}

resource "aws_s3_bucket_acl" "files" {
  bucket = aws_s3_bucket.files.id
  acl    = "private"
}

resource "aws_s3_bucket_versioning" "files" {
  bucket = aws_s3_bucket.files.id
  versioning_configuration {
    status = "Disabled"
  }
}

resource "aws_s3_object" "greeting" {
  bucket       = aws_s3_bucket.files.id
  key          = "texts/greeting"
  content      = "hello"
  content_type = "text/plain"
  metadata     = { made-by = "terraform" }
}

resource "aws_s3_object_copy" "greeting" {
  bucket = aws_s3_bucket.files.id
  key    = "texts/copy"
  source = "${aws_s3_bucket.files.id}/${aws_s3_object.greeting.key}"
}

# What user data wrote is there, for someone who logs in at the public address.
resource "terraform_data" "login" {
  count = var.private_key_file == null ? 0 : 1
  connection {
    type        = "ssh"
    host        = aws_eip_association.front.public_ip
    user        = "ec2-user"
    private_key = file(var.private_key_file)
    timeout     = "4m"
  }
  provisioner "remote-exec" {
    inline = ["grep -x hello /home/ec2-user/from-terraform"]
  }
}

output "address" {
  value = aws_eip.front.public_ip
}
