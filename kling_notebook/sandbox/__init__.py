"""A local service that speaks the same API. It shares no code with the other rooms."""
