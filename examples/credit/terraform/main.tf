terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.60"
    }
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = {
      project = var.project
    }
  }
}

data "aws_caller_identity" "current" {}

locals {
  account = data.aws_caller_identity.current.account_id
  glue    = "arn:aws:glue:${var.region}:${local.account}"

  credit_history = {
    dob_ssn            = "string"
    credit_card_due    = "bigint"
    mortgage_due       = "bigint"
    student_loan_due   = "bigint"
    vehicle_loan_due   = "bigint"
    hard_pulls         = "bigint"
    missed_payments_2y = "bigint"
    missed_payments_1y = "bigint"
    missed_payments_6m = "bigint"
    bankruptcies       = "bigint"
    event_timestamp    = "timestamp"
    created_timestamp  = "timestamp"
  }

  zipcode_features = {
    zipcode           = "bigint"
    city              = "string"
    state             = "string"
    location_type     = "string"
    tax_returns_filed = "bigint"
    population        = "bigint"
    total_wages       = "bigint"
    event_timestamp   = "timestamp"
    created_timestamp = "timestamp"
  }

  parquet = {
    input  = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
    output = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"
    serde  = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
  }
}
