"""What is remembered: drift, runs, repairs, signals, holds, dead letters and the audit trail, in the control database."""
