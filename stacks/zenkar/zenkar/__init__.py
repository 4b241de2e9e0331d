"""Zenkar: who drives which of the shared cars, and when; no car is ever promised twice."""
