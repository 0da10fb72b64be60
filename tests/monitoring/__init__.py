"""Tests of the monitoring: when each alarm goes off, who is told, and which metrics are watched.

- `test_alarms`: the states of each alarm, as tables (`alarm_tables`)
- `test_pages`: who is told during an incident (`incident`)
- `test_metrics`: what alarms and the dashboard watch is published, by the code or by AWS
  (`aws_metrics`)
- `template_reader`: reads alarms and graphs from the synthesized templates
- `cloudwatch`: CloudWatch's rules for metric math and composite alarms. Those for a single metric
  are in `local.cloudwatch`, which `make run` uses.
"""
