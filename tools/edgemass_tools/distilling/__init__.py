"""Distillation: teachers label pictures, and a student learns from their scores and boxes."""
