//! What the systems are compared with: the least that a thread-per-connection server can do.

use crate::net::failure::Failure;
use crate::net::limits::READ_BYTES_MAX;
use crate::net::threads;
use crossbeam_channel::{Sender, bounded};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

/// Questions that wait for the bare coordinator.
const ASKED_MAX: usize = 1024;

/// Says everything again.
pub(super) fn echo() -> Result<(), Failure> {
    serve(|mut socket| {
        let mut bytes = [0; READ_BYTES_MAX];
        loop {
            let size = socket.read(&mut bytes)?;
            if size == 0 {
                return Ok(());
            }
            socket.write_all(&bytes[..size])?;
        }
    })
}

/// Says everything again, with a coordinator: each connection hands over what it has read and waits
/// until it is given back. The least that this way of building a server costs.
pub(super) fn asked() -> Result<(), Failure> {
    let (questions_in, questions) = bounded::<(Vec<u8>, Sender<Vec<u8>>)>(ASKED_MAX);
    let coordinate = move || {
        for (bytes, answer) in questions {
            // Who does not wait any more is gone.
            let _ = answer.send(bytes);
        }
    };
    threads::detach("bare", coordinate)
        .map_err(Failure::from_io("the bare server failed".to_owned()))?;
    serve(move |mut socket| {
        let (answer_in, answer) = bounded(1);
        let mut bytes = [0; READ_BYTES_MAX];
        loop {
            let size = socket.read(&mut bytes)?;
            if size == 0 {
                return Ok(());
            }
            let question = (bytes[..size].to_vec(), answer_in.clone());
            questions_in.send(question).map_err(io::Error::other)?;
            socket.write_all(&answer.recv().map_err(io::Error::other)?)?;
        }
    })
}

/// Passes everything on to an echo, on a connection of its own for each client, and back.
pub(super) fn relay(to: SocketAddr) -> Result<(), Failure> {
    serve(move |mut socket| {
        let mut next = TcpStream::connect(to)?;
        next.set_nodelay(true)?;
        let mut bytes = [0; READ_BYTES_MAX];
        loop {
            let size = socket.read(&mut bytes)?;
            if size == 0 {
                return Ok(());
            }
            next.write_all(&bytes[..size])?;
            next.read_exact(&mut bytes[..size])?;
            socket.write_all(&bytes[..size])?;
        }
    })
}

/// Says a long text to whoever connects.
pub(super) fn text(bytes: usize) -> Result<(), Failure> {
    let text: std::sync::Arc<[u8]> = vec![b'A'; bytes].into();
    serve(move |mut socket| socket.write_all(&text))
}

/// Sends every datagram back.
pub(super) fn udp_echo() -> Result<(), Failure> {
    datagrams(|socket, bytes, addr| socket.send_to(bytes, addr).map(drop))
}

/// Sends every datagram to all who have sent one before; the first of each only says who it is.
pub(super) fn udp_fan() -> Result<(), Failure> {
    let mut all: Vec<SocketAddr> = Vec::new();
    datagrams(move |socket, bytes, addr| {
        if !all.contains(&addr) {
            all.push(addr);
            return socket.send_to(bytes, addr).map(drop);
        }
        all.iter().try_for_each(|addr| socket.send_to(bytes, addr).map(drop))
    })
}

fn datagrams(
    mut talk: impl FnMut(&UdpSocket, &[u8], SocketAddr) -> io::Result<()>,
) -> Result<(), Failure> {
    let mut serve = || -> io::Result<()> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        println!("listening on {}", socket.local_addr()?);
        let mut bytes = [0; READ_BYTES_MAX];
        loop {
            let (size, addr) = socket.recv_from(&mut bytes)?;
            talk(&socket, &bytes[..size], addr)?;
        }
    };
    serve().map_err(Failure::from_io("the bare server failed".to_owned()))
}

fn serve(
    talk: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static,
) -> Result<(), Failure> {
    let accept = || -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (socket, _) = listener.accept()?;
            socket.set_nodelay(true)?;
            let talk = talk.clone();
            // A connection that fails is over, that is all.
            threads::detach("bare", move || drop(talk(socket)))?;
        }
    };
    accept().map_err(Failure::from_io("the bare server failed".to_owned()))
}
