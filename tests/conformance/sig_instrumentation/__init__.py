"""Behaviours that sig-instrumentation answers for."""
