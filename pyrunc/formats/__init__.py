"""How things are written for others: JSON, moments, protocol buffers."""
