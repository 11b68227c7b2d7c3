"""Sockets: HTTP/1.1 server and client on h11 and asyncio streams, connection pool, TLS. Only here is h11 imported."""
