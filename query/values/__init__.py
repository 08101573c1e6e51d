"""Plain values of queries: ids, times as text, schedules, moments, and the order of a camera's media."""
