"""How the lung finder (`inference.lungs`) is made and measured."""
