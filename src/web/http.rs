//! Requests and answers, as far as our pages need them (RFC 9112). How bytes are parsed is the
//! crate `httparse`'s; what is refused is ours.

use crate::web::limits::{BODY_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX};
use std::net::{IpAddr, SocketAddr};

/// A whole request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET` or `POST`.
    pub method: String,
    /// From the first `/`, without what is behind a `?`.
    pub path: String,
    /// Where the browser believes it is.
    pub host: String,
    /// Which page asks, if it says so.
    pub origin: Option<String>,
    /// What the body is.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

/// How far a request has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// All of it is there.
    Whole(Request),
    /// More must come.
    Part,
    /// It is none that we answer.
    Bad(Status),
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Here it is.
    Ok,
    /// No request.
    BadRequest,
    /// Not for a page from somewhere else.
    Forbidden,
    /// No such file.
    NotFound,
    /// Neither `GET` nor `POST`.
    MethodNotAllowed,
    /// Too much.
    TooLarge,
    /// What was asked for cannot be done.
    Conflict,
}

impl Status {
    /// As the first line has it.
    pub fn line(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::BadRequest => "400 Bad Request",
            Status::Forbidden => "403 Forbidden",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::TooLarge => "413 Content Too Large",
            Status::Conflict => "409 Conflict",
        }
    }
}

/// What has come so far of a request.
pub fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let size = match head.parse(bytes) {
        Ok(httparse::Status::Complete(size)) if size <= HEAD_BYTES_MAX => size,
        Ok(httparse::Status::Partial) if bytes.len() <= HEAD_BYTES_MAX => return Parsed::Part,
        Ok(_) => return Parsed::Bad(Status::TooLarge),
        Err(_) => return Parsed::Bad(Status::BadRequest),
    };
    let all = |name: &str| values(head.headers, name);
    // Two of them are the beginning of a misunderstanding (RFC 9112, 3.2 and 6.3).
    let one = |name: &str| {
        let mut all = all(name);
        let last = all.pop();
        all.is_empty().then_some(last)
    };
    let (Some(Some(host)), Some(length), Some(origin)) =
        (one("host"), one("content-length"), one("origin"))
    else {
        return Parsed::Bad(Status::BadRequest);
    };
    if !all("transfer-encoding").is_empty() {
        return Parsed::Bad(Status::BadRequest);
    }
    let length = length.unwrap_or_else(|| "0".to_owned());
    // `parse` would take a sign.
    let length = match length.parse::<usize>() {
        Ok(bytes) if bytes <= BODY_BYTES_MAX && !length.starts_with('+') => bytes,
        Ok(bytes) if bytes > BODY_BYTES_MAX => return Parsed::Bad(Status::TooLarge),
        _ => return Parsed::Bad(Status::BadRequest),
    };
    let Some(body) = bytes.get(size..size + length) else { return Parsed::Part };
    let path = head.path.unwrap_or_default();
    Parsed::Whole(Request {
        method: head.method.unwrap_or_default().to_owned(),
        path: path.split('?').next().unwrap_or_default().to_owned(),
        host,
        origin,
        content_type: all("content-type").pop().unwrap_or_default(),
        body: body.to_vec(),
    })
}

fn values(headers: &[httparse::Header<'_>], name: &str) -> Vec<String> {
    let is_it = |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case(name);
    let text = |header: &httparse::Header<'_>| String::from_utf8_lossy(header.value).into_owned();
    headers.iter().filter(is_it).map(text).collect()
}

impl Request {
    /// Whether a page of ours asks, at `addr`: not one from elsewhere that was led here by a name
    /// (DNS rebinding), and not one that sends a form across.
    ///
    /// An address in `Host` can only be one of ours, because the request has come here; a name can
    /// be anybody's, so only `localhost` will do.
    pub fn is_ours(&self, addr: SocketAddr) -> bool {
        let (host, port) = match self.host.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
            _ => (self.host.as_str(), Some(80)),
        };
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let is_address = bare.parse::<IpAddr>().is_ok();
        let is_host = is_address || host.eq_ignore_ascii_case("localhost");
        let is_origin = self.origin.as_ref().is_none_or(|origin| {
            origin.strip_prefix("http://").is_some_and(|from| from.eq_ignore_ascii_case(&self.host))
        });
        port == Some(addr.port()) && is_host && is_origin
    }

    /// Whether the body is JSON. A page from elsewhere cannot send that without asking first,
    /// which we do not answer.
    pub fn is_json(&self) -> bool {
        let kind = self.content_type.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("application/json")
    }
}

/// A whole answer, after which the connection ends.
pub fn answer(status: Status, content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = head(status, content_type);
    bytes.extend(format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()).bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// The beginning of a stream of events.
pub fn events() -> Vec<u8> {
    let mut bytes = head(Status::Ok, "text/event-stream");
    bytes.extend_from_slice(b"connection: close\r\n\r\n");
    bytes
}

/// Nothing from elsewhere is loaded, nothing is kept, and nobody puts us into a frame.
fn head(status: Status, content_type: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {}\r\ncontent-type: {content_type}\r\ncache-control: no-store\r\n\
         content-security-policy: default-src 'self'; img-src 'self' data:; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'none'\r\n\
         x-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\n",
        status.line()
    )
    .into_bytes()
}
