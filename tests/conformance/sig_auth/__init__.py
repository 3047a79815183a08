"""Behaviours that sig-auth answers for."""
