"""What reports and gates are written with: a model of tables and text, and Markdown."""
