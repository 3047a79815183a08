"""Behaviours that sig-scheduling answers for."""
