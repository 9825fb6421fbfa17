"""What CloudTrail's records mean, and the decisions about them."""
