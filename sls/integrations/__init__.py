"""The optimizers in training frameworks; each file needs the framework that it is named after."""
