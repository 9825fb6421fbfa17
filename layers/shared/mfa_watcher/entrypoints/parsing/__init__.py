"""Parsing of what AWS sends."""
