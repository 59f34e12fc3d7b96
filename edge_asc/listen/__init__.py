"""Streaming: sources of samples, the pipeline that turns them into scene events, and the sinks of those."""
