"""CloudWatch's rules for metric math, composite alarms and the suppression of actions."""
