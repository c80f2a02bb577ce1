-- Runs once, when the replica's server is made: the control database lives beside the replica in this stack.
CREATE DATABASE control;
