//! The server that the chapter warns of: it takes what one read gives it for one request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::Builder;

/// Serves one client, in the background, until it is gone.
pub fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let serve = move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut bytes = [0; 1024];
        while let Ok(size @ 1..) = socket.read(&mut bytes) {
            let request = std::str::from_utf8(&bytes[..size]).unwrap().trim();
            let answer = match request {
                "ECHO" => "ECHO: Comando recebido com sucesso.\n",
                _ => "ERROR: Comando não reconhecido.\n",
            };
            socket.write_all(answer.as_bytes()).unwrap();
        }
    };
    Builder::new().name("naive".to_owned()).spawn(serve).unwrap();
    addr
}
