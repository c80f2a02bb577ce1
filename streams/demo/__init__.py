"""`holdtrue demo`: the whole story on real servers, told by the real command line."""
