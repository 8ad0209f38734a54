"""Everything that makes clips, behind one interface: `base` defines it, `registry` lists them."""
