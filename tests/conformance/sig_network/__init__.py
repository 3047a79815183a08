"""Behaviours that sig-network answers for."""
