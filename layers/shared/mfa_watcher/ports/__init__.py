"""What the use cases need of services outside."""
