"""What several verbs need: the build, the environment as deployed, its records, its quotas."""
