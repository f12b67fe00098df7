resource "aws_s3_bucket" "features" {
  bucket = var.bucket
}

resource "aws_s3_bucket_public_access_block" "features" {
  bucket                  = aws_s3_bucket.features.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "features" {
  bucket = aws_s3_bucket.features.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

# What Feast stages for a query is of no use the day after.
resource "aws_s3_bucket_lifecycle_configuration" "features" {
  bucket = aws_s3_bucket.features.id

  rule {
    id     = "staging"
    status = "Enabled"

    filter {
      prefix = "credit/staging/"
    }

    expiration {
      days = 1
    }
  }
}

data "aws_iam_policy_document" "tls_only" {
  statement {
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.features.arn, "${aws_s3_bucket.features.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "features" {
  bucket = aws_s3_bucket.features.id
  policy = data.aws_iam_policy_document.tls_only.json
}

resource "aws_s3_object" "credit_history" {
  bucket      = aws_s3_bucket.features.id
  key         = "tables/credit_history/credit_history.parquet"
  source      = "${var.tables}/credit_history.parquet"
  source_hash = filemd5("${var.tables}/credit_history.parquet")
}

resource "aws_s3_object" "zipcode_features" {
  bucket      = aws_s3_bucket.features.id
  key         = "tables/zipcode_features/zipcode_features.parquet"
  source      = "${var.tables}/zipcode_features.parquet"
  source_hash = filemd5("${var.tables}/zipcode_features.parquet")
}

resource "aws_glue_catalog_database" "features" {
  name = var.project
}

resource "aws_glue_catalog_table" "credit_history" {
  name          = "credit_history"
  database_name = aws_glue_catalog_database.features.name
  table_type    = "EXTERNAL_TABLE"
  parameters    = { classification = "parquet" }

  storage_descriptor {
    location      = "s3://${aws_s3_bucket.features.id}/tables/credit_history/"
    input_format  = local.parquet.input
    output_format = local.parquet.output

    ser_de_info {
      serialization_library = local.parquet.serde
    }

    dynamic "columns" {
      for_each = local.credit_history

      content {
        name = columns.key
        type = columns.value
      }
    }
  }
}

resource "aws_glue_catalog_table" "zipcode_features" {
  name          = "zipcode_features"
  database_name = aws_glue_catalog_database.features.name
  table_type    = "EXTERNAL_TABLE"
  parameters    = { classification = "parquet" }

  storage_descriptor {
    location      = "s3://${aws_s3_bucket.features.id}/tables/zipcode_features/"
    input_format  = local.parquet.input
    output_format = local.parquet.output

    ser_de_info {
      serialization_library = local.parquet.serde
    }

    dynamic "columns" {
      for_each = local.zipcode_features

      content {
        name = columns.key
        type = columns.value
      }
    }
  }
}
