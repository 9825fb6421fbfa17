"""The ports, implemented with AWS. Every class gets its boto3 client passed in."""
