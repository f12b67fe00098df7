resource "aws_security_group" "redis" {
  name   = "${var.project}-redis"
  vpc_id = var.vpc_id

  ingress {
    description     = "Redis over TLS from those who decide"
    from_port       = 6379
    to_port         = 6380
    protocol        = "tcp"
    security_groups = var.client_security_group_ids
  }
}

# Serverless ElastiCache always encrypts, at rest and on the way.
resource "aws_elasticache_serverless_cache" "features" {
  name                 = "${var.project}-features"
  engine               = "redis"
  major_engine_version = "7"
  subnet_ids           = var.subnet_ids
  security_group_ids   = [aws_security_group.redis.id]

  cache_usage_limits {
    data_storage {
      maximum = 2
      unit    = "GB"
    }

    ecpu_per_second {
      maximum = 5000
    }
  }
}
