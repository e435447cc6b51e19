"""Encoders, decoders and heads."""
