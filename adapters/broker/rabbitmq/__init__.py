"""RabbitMQ, through pika."""
