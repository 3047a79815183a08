"""Behaviours that sig-api-machinery answers for."""
