"""Behaviours that sig-cli answers for."""
