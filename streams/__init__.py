"""holdtrue: replicas that hold true.

Keeps copies of a Postgres source of truth (other Postgres databases, DynamoDB, Redis) in step through Debezium,
Kafka, Avro and Faust, and proves that they are.
"""
