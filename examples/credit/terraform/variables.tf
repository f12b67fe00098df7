variable "project" {
  description = "Begins the name of everything here"
  type        = string
  default     = "credit"
}

variable "region" {
  type    = string
  default = "us-west-2"
}

variable "bucket" {
  description = "Name of the bucket to make; bucket names are unique in the world"
  type        = string
}

variable "tables" {
  description = "Folder of the Parquet files that examples/credit/run.py has made"
  type        = string
  default     = "../../../var/examples/credit/tables"
}

variable "vpc_id" {
  description = "The network that Redshift and Redis are reached from"
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of it, in two zones or more"
  type        = list(string)
}

variable "client_security_group_ids" {
  description = "Groups of the machines that train and decide"
  type        = list(string)
}

variable "admin_password" {
  description = "Password of Redshift's admin"
  type        = string
  sensitive   = true

  validation {
    condition     = length(var.admin_password) >= 16
    error_message = "Give the admin a password of at least 16 characters."
  }
}

variable "node_type" {
  type    = string
  default = "ra3.large"
}
