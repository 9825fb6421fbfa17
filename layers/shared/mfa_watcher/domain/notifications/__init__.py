"""Mails, alerts, and what SES reports about mails."""
