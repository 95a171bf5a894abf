"""Trusted publishing: CI jobs publish without a stored password, by a token of their issuer."""
