"""Mails and alerts."""
