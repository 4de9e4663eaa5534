"""Sample rates in Hz. All audio is 16-bit little-endian mono PCM."""

INPUT_RATE = 16_000
"""input of VAD, turn detectors and transcribers"""
OUTPUT_RATE = 24_000
"""output of synthesizers, and PCM in the protocol, in both directions"""
G711_RATE = 8_000
"""PCMU and PCMA (RFC 3551)"""
OPUS_RATE = 48_000
"""Opus: its timestamps use this rate, whatever the audio is (RFC 7587, section 4.1)"""
