"""Behaviours that sig-apps answers for."""
