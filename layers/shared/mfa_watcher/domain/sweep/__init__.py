"""The sweep: compares IAM's lists of an account's users with what the watcher knows."""
