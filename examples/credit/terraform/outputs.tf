output "redshift_cluster_identifier" {
  description = "CREDIT_CLUSTER of the profiles"
  value       = aws_redshift_cluster.features.cluster_identifier
}

output "redshift_spectrum_arn" {
  description = "CREDIT_SPECTRUM_ROLE of the profiles"
  value       = aws_iam_role.s3_spectrum_role.arn
}

output "credit_history_table" {
  value = aws_glue_catalog_table.credit_history.name
}

output "zipcode_features_table" {
  value = aws_glue_catalog_table.zipcode_features.name
}

output "redis_endpoint" {
  description = "CREDIT_REDIS of the profiles"
  value       = "${aws_elasticache_serverless_cache.features.endpoint[0].address}:${aws_elasticache_serverless_cache.features.endpoint[0].port}"
}
