"""What several tools need: the environment as deployed, the repository, how a verb ends."""
