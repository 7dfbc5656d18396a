# Users, roles and an instance with a role, as people write them. `test/daemon/terraform-identities.test.ts` applies it, plans again, and destroys it.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "endpoint" {
  type = string
}

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "123456789012"
  secret_key                  = "any"
  skip_credentials_validation = false
  skip_metadata_api_check     = true
  endpoints {
    ec2 = var.endpoint
    sts = var.endpoint
    iam = var.endpoint
  }
}

data "aws_caller_identity" "me" {}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${data.aws_caller_identity.me.account_id}:root", aws_iam_user.deploy.arn]
    }
  }
}

data "aws_iam_policy_document" "read" {
  statement {
    sid       = "Read"
    actions   = ["ec2:Describe*", "s3:GetObject"]
    resources = ["*"]
  }
}

resource "aws_iam_role" "web" {
  name                  = "web"
  path                  = "/service/"
  description           = "what serves the web"
  assume_role_policy    = data.aws_iam_policy_document.trust.json
  max_session_duration  = 7200
  force_detach_policies = true
  tags                  = { team = "web" }
}

resource "aws_iam_role_policy" "read" {
  name   = "read"
  role   = aws_iam_role.web.id
  policy = data.aws_iam_policy_document.read.json
}

resource "aws_iam_policy" "read" {
  name        = "read"
  description = "reads"
  policy      = data.aws_iam_policy_document.read.json
  tags        = { team = "web" }
}

resource "aws_iam_role_policy_attachment" "read" {
  role       = aws_iam_role.web.name
  policy_arn = aws_iam_policy.read.arn
}

resource "aws_iam_role_policy_attachment" "ssm" {
  role       = aws_iam_role.web.name
  policy_arn = data.aws_iam_policy.ssm.arn
}

data "aws_iam_policy" "ssm" {
  name = "AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "web" {
  name = "web"
  role = aws_iam_role.web.name
  tags = { team = "web" }
}

resource "aws_iam_user" "deploy" {
  name          = "deploy"
  path          = "/ci/"
  force_destroy = true
  tags          = { team = "ci" }
}

resource "aws_iam_access_key" "deploy" {
  user = aws_iam_user.deploy.name
}

resource "aws_iam_user_policy" "read" {
  name   = "read"
  user   = aws_iam_user.deploy.name
  policy = data.aws_iam_policy_document.read.json
}

resource "aws_iam_user_policy_attachment" "read" {
  user       = aws_iam_user.deploy.name
  policy_arn = aws_iam_policy.read.arn
}

resource "aws_iam_group" "crew" {
  name = "crew"
}

resource "aws_iam_group_policy" "read" {
  name   = "read"
  group  = aws_iam_group.crew.name
  policy = data.aws_iam_policy_document.read.json
}

resource "aws_iam_group_membership" "crew" {
  name  = "crew"
  group = aws_iam_group.crew.name
  users = [aws_iam_user.deploy.name]
}

resource "aws_iam_account_alias" "lab" {
  account_alias = "kiln-lab"
}

data "aws_ami" "linux" {
  most_recent = true
  owners      = ["amazon"]
  filter {
    name   = "name"
    values = ["kiln-linux-*-ebs"]
  }
}

resource "aws_instance" "web" {
  ami                  = data.aws_ami.linux.id
  instance_type        = "t3.nano"
  iam_instance_profile = aws_iam_instance_profile.web.name
}

output "key_id" {
  value = aws_iam_access_key.deploy.id
}
