"""The one-time set-up of an AWS account, and scheduled runs, as CloudFormation stacks."""
