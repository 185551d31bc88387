"""bytes -> facts: one module per file format, none of which knows wheels or prefixes."""
