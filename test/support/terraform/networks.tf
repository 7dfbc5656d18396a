# Networks as people build them with Terraform, and what is found with its data sources. `test/daemon/terraform-networks.test.ts`
# applies it, plans again, and destroys it.
#
# Not here: `aws_network_interface_attachment`, whose end the provider awaits for two and a half minutes, here as on AWS.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "endpoint" { type = string }

variable "public_key" { type = string }

provider "aws" {
  region            = "us-east-1"
  access_key        = "123456789012"
  secret_key        = "any"
  s3_use_path_style = true
  default_tags {
    tags = { Made = "terraform" }
  }
  endpoints {
    ec2 = var.endpoint
    sts = var.endpoint
    iam = var.endpoint
    s3  = var.endpoint
  }
}

data "aws_availability_zones" "all" { state = "available" }

data "aws_region" "here" {}

data "aws_regions" "all" {}

data "aws_partition" "p" {}

data "aws_ec2_instance_type" "nano" { instance_type = "t3.nano" }

data "aws_ec2_instance_types" "some" {
  filter {
    name   = "instance-type"
    values = ["t3.*"]
  }
}

data "aws_ec2_instance_type_offerings" "some" {
  filter {
    name   = "instance-type"
    values = ["t3.nano"]
  }
  location_type = "availability-zone"
}

data "aws_ami_ids" "all" { owners = ["amazon"] }

data "aws_ami" "linux" {
  most_recent = true
  owners      = ["amazon"]
  filter {
    name   = "name"
    values = ["kiln-linux-*-ebs"]
  }
}

data "aws_vpc" "default" { default = true }

data "aws_subnets" "default" {
  filter {
    name   = "vpc-id"
    values = [data.aws_vpc.default.id]
  }
}

data "aws_subnet" "one" { id = data.aws_subnets.default.ids[0] }

data "aws_security_group" "default" {
  vpc_id = data.aws_vpc.default.id
  name   = "default"
}

data "aws_prefix_list" "s3" { name = "com.amazonaws.us-east-1.s3" }

data "aws_vpc_endpoint_service" "s3" {
  service      = "s3"
  service_type = "Gateway"
}

data "aws_ebs_default_kms_key" "k" {}

data "aws_ebs_encryption_by_default" "k" {}

resource "aws_default_vpc" "d" {}

resource "aws_default_subnet" "d" { availability_zone = "us-east-1a" }

resource "aws_default_security_group" "lab" {
  vpc_id = aws_vpc.lab.id
  ingress {
    protocol  = -1
    self      = true
    from_port = 0
    to_port   = 0
  }
}

resource "aws_default_route_table" "lab" {
  default_route_table_id = aws_vpc.lab.default_route_table_id
  route {
    cidr_block     = "0.0.0.0/0"
    nat_gateway_id = aws_nat_gateway.nat.id
  }
}

resource "aws_default_network_acl" "lab" {
  default_network_acl_id = aws_vpc.lab.default_network_acl_id
  ingress {
    protocol   = -1
    rule_no    = 100
    action     = "allow"
    cidr_block = "0.0.0.0/0"
    from_port  = 0
    to_port    = 0
  }
  egress {
    protocol   = -1
    rule_no    = 100
    action     = "allow"
    cidr_block = "0.0.0.0/0"
    from_port  = 0
    to_port    = 0
  }
  lifecycle { ignore_changes = [subnet_ids] }
}

resource "aws_vpc" "lab" {
  cidr_block           = "10.40.0.0/16"
  enable_dns_support   = true
  enable_dns_hostnames = true
  instance_tenancy     = "default"
  tags                 = { Name = "lab" }
}

resource "aws_vpc_dhcp_options" "lab" {
  domain_name         = "lab.internal"
  domain_name_servers = ["AmazonProvidedDNS"]
  ntp_servers         = ["169.254.169.123"]
}

resource "aws_vpc_dhcp_options_association" "lab" {
  vpc_id          = aws_vpc.lab.id
  dhcp_options_id = aws_vpc_dhcp_options.lab.id
}

resource "aws_subnet" "public" {
  count                   = 2
  vpc_id                  = aws_vpc.lab.id
  cidr_block              = cidrsubnet(aws_vpc.lab.cidr_block, 8, count.index)
  availability_zone       = data.aws_availability_zones.all.names[count.index]
  map_public_ip_on_launch = true
}

resource "aws_subnet" "private" {
  count             = 2
  vpc_id            = aws_vpc.lab.id
  cidr_block        = cidrsubnet(aws_vpc.lab.cidr_block, 8, count.index + 10)
  availability_zone = data.aws_availability_zones.all.names[count.index]
}

resource "aws_internet_gateway" "igw" { vpc_id = aws_vpc.lab.id }

resource "aws_eip" "nat" { domain = "vpc" }

resource "aws_nat_gateway" "nat" {
  allocation_id = aws_eip.nat.id
  subnet_id     = aws_subnet.public[0].id
  depends_on    = [aws_internet_gateway.igw]
  tags          = { Name = "nat" }
}

resource "aws_route_table" "public" { vpc_id = aws_vpc.lab.id }

resource "aws_route" "out" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.igw.id
}

resource "aws_route_table" "private" { vpc_id = aws_vpc.lab.id }

resource "aws_route" "nat" {
  route_table_id         = aws_route_table.private.id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.nat.id
}

resource "aws_route_table_association" "public" {
  count          = 2
  subnet_id      = aws_subnet.public[count.index].id
  route_table_id = aws_route_table.public.id
}

resource "aws_route_table_association" "private" {
  count          = 2
  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = aws_route_table.private.id
}

resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.lab.id
  service_name      = "com.amazonaws.us-east-1.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.private.id]
}

resource "aws_network_acl" "tight" {
  vpc_id     = aws_vpc.lab.id
  subnet_ids = [aws_subnet.private[1].id]
  ingress {
    protocol   = "tcp"
    rule_no    = 100
    action     = "allow"
    cidr_block = "10.40.0.0/16"
    from_port  = 22
    to_port    = 22
  }
  egress {
    protocol   = "-1"
    rule_no    = 100
    action     = "allow"
    cidr_block = "0.0.0.0/0"
    from_port  = 0
    to_port    = 0
  }
}

resource "aws_network_acl" "loose" { vpc_id = aws_vpc.lab.id }

resource "aws_network_acl_rule" "icmp" {
  network_acl_id = aws_network_acl.loose.id
  rule_number    = 200
  egress         = false
  protocol       = "icmp"
  rule_action    = "allow"
  cidr_block     = "0.0.0.0/0"
  icmp_type      = -1
  icmp_code      = -1
}

resource "aws_ec2_managed_prefix_list" "office" {
  name           = "office"
  address_family = "IPv4"
  max_entries    = 5
  entry {
    cidr        = "192.0.2.0/24"
    description = "hq"
  }
}

resource "aws_ec2_managed_prefix_list_entry" "home" {
  cidr           = "198.51.100.0/24"
  description    = "home"
  prefix_list_id = aws_ec2_managed_prefix_list.other.id
}

resource "aws_ec2_managed_prefix_list" "other" {
  name           = "other"
  address_family = "IPv4"
  max_entries    = 5
}

resource "aws_security_group" "app" {
  name_prefix = "app-"
  vpc_id      = aws_vpc.lab.id
  lifecycle { create_before_destroy = true }
}

resource "aws_security_group_rule" "from_list" {
  security_group_id = aws_security_group.app.id
  type              = "ingress"
  prefix_list_ids   = [aws_ec2_managed_prefix_list.office.id]
  from_port         = 443
  to_port           = 443
  protocol          = "tcp"
}

resource "aws_vpc_security_group_ingress_rule" "v6" {
  security_group_id = aws_security_group.app.id
  cidr_ipv6         = "::/0"
  from_port         = 443
  to_port           = 443
  ip_protocol       = "tcp"
  tags              = { Name = "v6" }
}

resource "aws_vpc_security_group_ingress_rule" "sg" {
  security_group_id            = aws_security_group.app.id
  referenced_security_group_id = aws_default_security_group.lab.id
  from_port                    = 5432
  to_port                      = 5432
  ip_protocol                  = "tcp"
}

resource "aws_network_interface" "own" {
  subnet_id       = aws_subnet.private[0].id
  private_ips     = ["10.40.10.50"]
  security_groups = [aws_security_group.app.id]
  description     = "own"
}

resource "aws_network_interface" "second" {
  subnet_id       = aws_subnet.private[0].id
  security_groups = [aws_security_group.app.id]
}

resource "aws_instance" "own" {
  ami           = data.aws_ami.linux.id
  instance_type = "t3.nano"
  network_interface {
    device_index         = 0
    network_interface_id = aws_network_interface.own.id
  }
  network_interface {
    device_index         = 1
    network_interface_id = aws_network_interface.second.id
  }
  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 2
    instance_metadata_tags      = "enabled"
  }
  monitoring                           = true
  disable_api_termination              = false
  instance_initiated_shutdown_behavior = "stop"
  credit_specification { cpu_credits = "standard" }
}

resource "aws_key_pair" "k" {
  key_name_prefix = "lab-"
  public_key      = var.public_key
}

resource "aws_launch_template" "full" {
  name_prefix            = "full-"
  image_id               = data.aws_ami.linux.id
  instance_type          = "t3.nano"
  update_default_version = true
  key_name               = aws_key_pair.k.key_name
  user_data              = base64encode("#!/bin/sh\ntrue\n")
  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_size           = 4
      volume_type           = "gp3"
      iops                  = 3000
      throughput            = 125
      delete_on_termination = true
      encrypted             = true
    }
  }
  metadata_options { http_tokens = "required" }
  network_interfaces {
    subnet_id                   = aws_subnet.public[0].id
    associate_public_ip_address = true
    security_groups             = [aws_security_group.app.id]
  }
  monitoring { enabled = true }
  tag_specifications {
    resource_type = "instance"
    tags          = { Name = "from-template" }
  }
  tag_specifications {
    resource_type = "volume"
    tags          = { Name = "from-template" }
  }
}

resource "aws_instance" "templated" {
  launch_template {
    id      = aws_launch_template.full.id
    version = "$Latest"
  }
  tags      = { Name = "from-template" }
  user_data = "#!/bin/sh\ntrue\n"
}

resource "aws_ec2_fleet" "f" {
  type                = "instant"
  terminate_instances = true
  launch_template_config {
    launch_template_specification {
      launch_template_id = aws_launch_template.full.id
      version            = aws_launch_template.full.latest_version
    }
  }
  target_capacity_specification {
    default_target_capacity_type = "on-demand"
    total_target_capacity        = 1
  }
}

resource "aws_spot_instance_request" "s" {
  ami                  = data.aws_ami.linux.id
  instance_type        = "t3.nano"
  wait_for_fulfillment = true
  spot_type            = "one-time"
  subnet_id            = aws_subnet.public[1].id
}

resource "aws_eip" "direct" {
  instance = aws_instance.templated.id
  domain   = "vpc"
}

resource "aws_ec2_tag" "t" {
  resource_id = data.aws_security_group.default.id
  key         = "Extra"
  value       = "x"
}

resource "aws_ec2_instance_state" "stopped" {
  instance_id = aws_instance.own.id
  state       = "stopped"
}

resource "aws_ebs_volume" "enc" {
  availability_zone = "us-east-1a"
  size              = 4
  encrypted         = true
  type              = "io2"
  iops              = 100
}

data "aws_instances" "mine" {
  instance_tags = { Name = "from-template" }
  depends_on    = [aws_instance.templated]
}

data "aws_ebs_volumes" "mine" {
  depends_on = [aws_ebs_volume.enc]
}

data "aws_network_interfaces" "mine" { depends_on = [aws_instance.templated] }

data "aws_eips" "mine" { depends_on = [aws_eip.direct] }

data "aws_route_tables" "mine" { vpc_id = aws_vpc.lab.id }

data "aws_security_groups" "mine" { depends_on = [aws_security_group.app] }

data "aws_key_pair" "k" { key_name = aws_key_pair.k.key_name }

data "aws_launch_template" "full" { name = aws_launch_template.full.name }

data "aws_nat_gateways" "n" { vpc_id = aws_vpc.lab.id }

data "aws_ec2_spot_price" "p" {
  instance_type     = "t3.nano"
  availability_zone = "us-east-1a"
  filter {
    name   = "product-description"
    values = ["Linux/UNIX"]
  }
}
