"""Evaluates watches (standing queries) on new records, and delivers what fires to listeners and webhooks."""
