//! A page server's sockets and threads.

use crate::net::accept::{self, Gate, Seats};
use crate::net::stop::{Stop, Stopper, stop_pair};
use crate::net::stream;
use crate::net::threads;
use crate::net::trace::Trace;
use crate::web::http::{self, Parsed, Request, Status};
use crate::web::hub::Hub;
use crate::web::limits::{ACT_MS_MAX, ALIVE_MS, CONNECTIONS_MAX, REQUEST_MS_MAX};
use crossbeam_channel::{Sender, after, bounded, select_biased};
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::Scope;
use std::time::{Duration, Instant};

/// A file that is compiled in.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// From the first `/`.
    pub path: &'static str,
    /// What it is.
    pub content_type: &'static str,
    /// What is in it.
    pub text: &'static str,
}

/// Something that a page asks for.
#[derive(Debug)]
pub struct Act {
    /// From the first `/`.
    pub path: String,
    /// JSON.
    pub body: Vec<u8>,
    /// Done, or why not, in words for the person. There is room for it.
    pub reply: Sender<Result<(), String>>,
}

/// What a site consists of.
#[derive(Debug, Clone)]
pub struct Site {
    /// What `GET` gives.
    pub files: &'static [File],
    /// Whom `POST` asks.
    pub acts: Sender<Act>,
    /// Who tells the pages, at `/events`.
    pub hub: Hub,
    /// What happens.
    pub trace: Trace,
}

/// Ends the site when it is dropped.
#[derive(Debug)]
pub struct Open {
    _gate: Gate,
    _over: Stopper,
}

/// Serves pages until what it returns is dropped.
pub fn open<'scope>(
    scope: &'scope Scope<'scope, '_>,
    listener: TcpListener,
    site: Site,
) -> io::Result<Open> {
    let addr = listener.local_addr()?;
    let (gate, shut) = Gate::new(&listener)?;
    let (over, is_over) = stop_pair();
    threads::spawn(scope, "web-accept".to_owned(), move || {
        let seats = Seats::new(CONNECTIONS_MAX);
        let mut last = 0_u64;
        let admit = |socket: TcpStream, from: SocketAddr| {
            let Some(seat) = accept::seat_soon(&seats, &shut) else {
                // It says nothing, and the browser tries again.
                site.trace.event(format_args!("ev=web-refuse addr={from}"));
                return Ok(());
            };
            last += 1;
            let (site, is_over) = (site.clone(), is_over.clone());
            threads::spawn(scope, format!("w{last}"), move || {
                let _seat = seat;
                let guest = Guest { socket, addr, site, is_over };
                if let Err(error) = guest.serve() {
                    guest.site.trace.event(format_args!("ev=web-close error={error:?}"));
                }
            })
        };
        accept::run(&listener, &shut, &site.trace, admit, drop);
    })?;
    Ok(Open { _gate: gate, _over: over })
}

/// One connection.
struct Guest {
    socket: TcpStream,
    /// Ours.
    addr: SocketAddr,
    site: Site,
    is_over: Stop,
}

impl Guest {
    fn serve(&self) -> io::Result<()> {
        let (status, content_type, text) = match self.read()? {
            None => return Ok(()),
            Some(Parsed::Whole(request)) => {
                let Request { method, path, .. } = &request;
                self.site.trace.event(format_args!("ev=web method={method} path={path:?}"));
                if request.method == "GET"
                    && request.path == "/events"
                    && request.is_ours(self.addr)
                {
                    return self.tell();
                }
                self.answer(&request)
            }
            Some(Parsed::Bad(status)) => plain(status, status.line()),
            Some(Parsed::Part) => plain(Status::BadRequest, "the request is not whole"),
        };
        self.write(&http::answer(status, content_type, text.as_bytes()))?;
        stream::part(&self.socket)
    }

    /// A request; none if nothing came, or stop did.
    fn read(&self) -> io::Result<Option<Parsed>> {
        let end = Instant::now() + Duration::from_millis(REQUEST_MS_MAX);
        let (mut bytes, mut chunk) = (Vec::new(), [0; 2048]);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.is_over.is_asked() {
                return Ok((!bytes.is_empty()).then_some(Parsed::Part));
            }
            // Now and then it looks whether the server stops.
            self.socket.set_read_timeout(Some(left.min(Duration::from_millis(100))))?;
            match (&self.socket).read(&mut chunk) {
                Ok(0) => return Ok(None),
                Ok(size) => bytes.extend_from_slice(&chunk[..size]),
                Err(error) if stream::is_late(&error) => continue,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            match http::parse(&bytes) {
                Parsed::Part => {}
                parsed => return Ok(Some(parsed)),
            }
        }
    }

    fn answer(&self, request: &Request) -> (Status, &'static str, String) {
        if !request.is_ours(self.addr) {
            return plain(Status::Forbidden, "a page from elsewhere may not ask here");
        }
        match request.method.as_str() {
            "GET" => match self.site.files.iter().find(|file| file.path == request.path) {
                Some(file) => (Status::Ok, file.content_type, file.text.to_owned()),
                None => plain(Status::NotFound, "there is no such file"),
            },
            "POST" if !request.is_json() => plain(Status::BadRequest, "the body is not JSON"),
            "POST" => match self.act(request) {
                Ok(()) => plain(Status::Ok, ""),
                Err(why) => plain(Status::Conflict, &why),
            },
            _ => plain(Status::MethodNotAllowed, "GET or POST"),
        }
    }

    fn act(&self, request: &Request) -> Result<(), String> {
        let (reply, replied) = bounded(1);
        let act = Act { path: request.path.clone(), body: request.body.clone(), reply };
        let busy = |_| "the program is busy or stopping".to_owned();
        self.site.acts.try_send(act).map_err(|_| busy(()))?;
        replied.recv_timeout(Duration::from_millis(ACT_MS_MAX)).map_err(|_| busy(()))?
    }

    /// Events, until the page is gone or the server stops.
    fn tell(&self) -> io::Result<()> {
        let events = self.site.hub.listen();
        self.write(&http::events())?;
        loop {
            select_biased! {
                recv(self.is_over.channel()) -> _ => return stream::part(&self.socket),
                recv(events) -> event => match event {
                    Ok(event) => self.write(event.as_bytes())?,
                    // It was too slow.
                    Err(_) => return Ok(()),
                },
                recv(after(Duration::from_millis(ALIVE_MS))) -> _ => self.write(b":\n\n")?,
            }
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        stream::write_all(&self.socket, bytes).map(drop)
    }
}

fn plain(status: Status, text: &str) -> (Status, &'static str, String) {
    (status, "text/plain; charset=utf-8", text.to_owned())
}
