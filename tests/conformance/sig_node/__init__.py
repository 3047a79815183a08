"""Behaviours that sig-node answers for."""
