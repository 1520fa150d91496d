//! Connecting to somebody, and noticing when that is ourselves.

use crate::net::failure;
use crate::net::limits::DIAL_MS_MAX;
use crate::net::stream;
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Every address that `host` has, with `port`, those of IPv4 first: who listens at `localhost` is
/// to be found at 127.0.0.1. Looks names up, so it may take its time.
pub fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let found = (host, port).to_socket_addrs().map_err(|error| failure::not_found(&error));
    let mut addrs: Vec<SocketAddr> = found?.collect();
    addrs.sort_by_key(SocketAddr::is_ipv6);
    if addrs.is_empty() {
        return Err(io::Error::new(ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addrs)
}

/// Connects to the first of `addrs` that answers, or says why the last one did not.
pub fn dial(addrs: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(ErrorKind::NotFound, "no address to connect to");
    for addr in addrs {
        match dial_one(addr) {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn dial_one(addr: &SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect_timeout(addr, Duration::from_millis(DIAL_MS_MAX))?;
    if socket.local_addr()? == socket.peer_addr()? {
        hang_up_on_ourselves(&socket)?;
        return Err(io::Error::new(ErrorKind::ConnectionRefused, "nobody there but ourselves"));
    }
    stream::prepare(&socket)?;
    Ok(socket)
}

/// A port in the ephemeral range can be given to the very socket that dials it: TCP then connects
/// the socket with itself. Closed the usual way it would stay in TIME-WAIT for a minute, and
/// nobody could listen there. Closed with a byte unread it is reset, and the port is free.
fn hang_up_on_ourselves(mut socket: &TcpStream) -> io::Result<()> {
    socket.set_read_timeout(Some(Duration::from_millis(DIAL_MS_MAX)))?;
    socket.write_all(&[0])?;
    socket.peek(&mut [0]).map(drop)
}
