"""Sample rates, in samples a second. All audio is 16-bit little-endian mono PCM."""

INPUT_RATE = 16_000
"""what VAD, turn detection and transcribers receive"""
OUTPUT_RATE = 24_000
"""what synthesizers return, and PCM on the wire, both ways"""
G711_RATE = 8_000
"""PCMU and PCMA (RFC 3551)"""
OPUS_RATE = 48_000
"""Opus: it counts time in samples of this rate, whatever it carries (RFC 7587, section 4.1)"""
