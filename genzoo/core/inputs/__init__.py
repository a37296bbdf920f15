"""What users give: arrays, frames and streams, read and checked at one place."""
