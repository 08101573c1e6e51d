"""Takes frames from capture threads, embeds them in batches and writes the records, with retries and a spool file."""
