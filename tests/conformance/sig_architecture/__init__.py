"""Behaviours that sig-architecture answers for."""
