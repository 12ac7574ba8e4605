"""What runs inside images, on whatever Python they have: no module of layerkit imports these."""
