"""Behaviours that sig-storage answers for."""
