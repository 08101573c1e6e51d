"""The commands: each builds its parts from settings, runs, and shows. Only this room and footage.py know settings."""
