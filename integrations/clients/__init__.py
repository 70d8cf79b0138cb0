"""HTTP and dataclasses: what a provider says, in our words. No Django, no retries."""
