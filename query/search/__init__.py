"""Answers questions: options become a question, and the search engine turns a question into an answer."""
