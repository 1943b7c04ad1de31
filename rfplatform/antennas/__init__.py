"""Antenna patterns."""
