"""What runs beside a function: the shell that makes its room, and what stands in for the runtime's start."""
