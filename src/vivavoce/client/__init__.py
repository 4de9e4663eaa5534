"""For people who write against us, or against OpenAI."""
