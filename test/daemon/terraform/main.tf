# Every resource that people make around images, in one configuration. `terraform.test.ts` applies it, plans again, and destroys it.
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

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "123456789012"
  secret_key                  = "any"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
  endpoints {
    ec2 = var.endpoint
    sts = var.endpoint
    iam = var.endpoint
  }
}

provider "aws" {
  alias                       = "away"
  region                      = "eu-west-1"
  access_key                  = "123456789012"
  secret_key                  = "any"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
  endpoints {
    ec2 = var.endpoint
    sts = var.endpoint
    iam = var.endpoint
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

resource "aws_vpc" "lab" {
  cidr_block           = "10.30.0.0/16"
  enable_dns_hostnames = true
  tags                 = { Name = "lab" }
}

resource "aws_subnet" "open" {
  vpc_id                  = aws_vpc.lab.id
  cidr_block              = "10.30.1.0/24"
  availability_zone       = "us-east-1a"
  map_public_ip_on_launch = true
}

resource "aws_subnet" "closed" {
  vpc_id            = aws_vpc.lab.id
  cidr_block        = "10.30.2.0/24"
  availability_zone = "us-east-1b"
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
  depends_on = [aws_route_table_association.open]
}

resource "aws_launch_template" "small" {
  name          = "small"
  image_id      = data.aws_ami.linux.id
  instance_type = "t3.nano"
  key_name      = aws_key_pair.me.key_name
  tags          = { Kind = "template" }
}

resource "aws_instance" "plain" {
  subnet_id = aws_subnet.closed.id
  launch_template {
    id      = aws_launch_template.small.id
    version = aws_launch_template.small.latest_version
  }
}

resource "aws_eip" "front" {
  domain = "vpc"
}

resource "aws_eip_association" "front" {
  allocation_id = aws_eip.front.id
  instance_id   = aws_instance.web.id
}

resource "aws_ebs_volume" "data" {
  availability_zone = aws_instance.web.availability_zone
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
  volume_id  = aws_ebs_volume.data.id
  depends_on = [aws_volume_attachment.data]
}

resource "aws_ebs_snapshot_copy" "data" {
  provider           = aws.away
  source_snapshot_id = aws_ebs_snapshot.data.id
  source_region      = "us-east-1"
}

resource "aws_ami_from_instance" "web" {
  name               = "of-an-instance"
  source_instance_id = aws_instance.web.id
  depends_on         = [aws_volume_attachment.data]
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

resource "aws_ami_copy" "web" {
  provider          = aws.away
  name              = "a-copy"
  source_ami_id     = aws_ami_from_instance.web.id
  source_ami_region = "us-east-1"
}

resource "aws_ami_launch_permission" "web" {
  image_id   = aws_ami_from_instance.web.id
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

output "address" {
  value = aws_eip.front.public_ip
}
