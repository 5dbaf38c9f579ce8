"""Sockets: connect, listen, datagrams, names."""
