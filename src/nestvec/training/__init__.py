"""Fine-tunes models: the training rows, the training objectives, validation during training, and the trainer."""
