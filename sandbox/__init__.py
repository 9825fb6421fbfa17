"""The sandbox: an emulated AWS account in which the real stack runs on one machine.

Nothing in here is deployed, and no product code refers to it.
"""
