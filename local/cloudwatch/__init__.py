"""The parts of CloudWatch that MiniStack lacks: metrics from log lines, and states of alarms."""
