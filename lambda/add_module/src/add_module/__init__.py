"""A function that makes layers: packages of the index become a layer of the account it runs in."""
