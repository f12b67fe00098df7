data "aws_iam_policy_document" "redshift_assumes" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["redshift.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

# Reads the two tables and their catalogue, and writes what Feast stages: nothing else.
data "aws_iam_policy_document" "spectrum" {
  statement {
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.features.arn}/tables/*", "${aws_s3_bucket.features.arn}/credit/staging/*"]
  }

  statement {
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.features.arn}/credit/staging/*"]
  }

  statement {
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.features.arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["tables/*", "credit/staging/*"]
    }
  }

  statement {
    actions   = ["s3:GetBucketLocation"]
    resources = [aws_s3_bucket.features.arn]
  }

  statement {
    actions = [
      "glue:GetDatabase",
      "glue:GetPartitions",
      "glue:GetTable",
      "glue:GetTables",
    ]

    resources = [
      "${local.glue}:catalog",
      "${local.glue}:database/${aws_glue_catalog_database.features.name}",
      "${local.glue}:table/${aws_glue_catalog_database.features.name}/*",
    ]
  }
}

resource "aws_iam_role" "s3_spectrum_role" {
  name               = "s3_spectrum_role"
  assume_role_policy = data.aws_iam_policy_document.redshift_assumes.json
}

resource "aws_iam_role_policy" "spectrum" {
  name   = "${var.project}-spectrum"
  role   = aws_iam_role.s3_spectrum_role.id
  policy = data.aws_iam_policy_document.spectrum.json
}

resource "aws_security_group" "redshift" {
  name   = "${var.project}-redshift"
  vpc_id = var.vpc_id

  ingress {
    description     = "SQL from those who train"
    from_port       = 5439
    to_port         = 5439
    protocol        = "tcp"
    security_groups = var.client_security_group_ids
  }

  egress {
    description = "S3 and Glue"
    from_port   = 443
    to_port     = 443
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_redshift_subnet_group" "features" {
  name       = "${var.project}-redshift"
  subnet_ids = var.subnet_ids
}

resource "aws_redshift_parameter_group" "tls" {
  name   = "${var.project}-tls"
  family = "redshift-1.0"

  parameter {
    name  = "require_ssl"
    value = "true"
  }
}

resource "aws_redshift_cluster" "features" {
  cluster_identifier           = "${var.project}-features"
  node_type                    = var.node_type
  cluster_type                 = "single-node"
  database_name                = "dev"
  master_username              = "admin"
  master_password              = var.admin_password
  iam_roles                    = [aws_iam_role.s3_spectrum_role.arn]
  cluster_subnet_group_name    = aws_redshift_subnet_group.features.name
  cluster_parameter_group_name = aws_redshift_parameter_group.tls.name
  vpc_security_group_ids       = [aws_security_group.redshift.id]
  publicly_accessible          = false
  encrypted                    = true
  skip_final_snapshot          = true
}
