"""The runtime beside other model servers."""
