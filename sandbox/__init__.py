"""The sandbox: an AWS account on a laptop in which the real stack can be watched at work.

Nothing in here is deployed, and the product does not know that it exists.
"""
