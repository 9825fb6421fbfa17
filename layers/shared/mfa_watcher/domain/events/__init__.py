"""What CloudTrail's records mean, and what follows."""
