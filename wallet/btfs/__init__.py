"""BTFS cheques on BTTC: drawn on the payer's own vault contract, exchanged with BTFS hosts and renters."""
