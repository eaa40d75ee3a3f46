"""Fine-tune models: training rows, objectives, validation and the trainer."""
