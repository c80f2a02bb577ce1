"""What is remembered, in the control database: drift, runs, repairs, holds, dead letters and the audit trail."""
