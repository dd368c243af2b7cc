"""What things must look like: the lifecycle's table, the ordering rules, the schemas, the task definition.

Data, no input or output.
"""
