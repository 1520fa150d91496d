//! The pages of server and client: what they show, and what they ask for.
//!
//! Each program serves its own page, to whoever opens it, and is told the same by all of them.

pub mod client;
pub mod server;

use crate::net::stop::Stopper;
use crate::web::site::{Act, File};
use serde_json::Value;
use std::net::SocketAddr;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const fn file(path: &'static str, content_type: &'static str, text: &'static str) -> File {
    File { path, content_type, text }
}

/// What both pages have.
const STYLE: File = file("/page.css", CSS, include_str!("../../web/page.css"));
const LIVE: File = file("/live.js", SCRIPT, include_str!("../../web/live.js"));

/// Something that runs until its stopper is dropped, and says that it has ended.
struct Running {
    _stopper: Stopper,
}

/// A form that was sent in.
struct Form(Value);

impl Form {
    fn of(act: &Act) -> Form {
        // What is not JSON has no fields.
        Form(serde_json::from_slice(&act.body).unwrap_or_default())
    }

    fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default().trim()
    }

    /// A number, also one that was typed.
    fn number(&self, field: &str) -> Option<u32> {
        let value = &self.0[field];
        value.as_u64().map_or_else(|| self.text(field).parse().ok(), |n| u32::try_from(n).ok())
    }

    /// An address, of the fields `host` and `port`.
    fn addrs(&self) -> Result<Vec<SocketAddr>, String> {
        let host = self.text("host");
        let port = self.number("port").and_then(|port| u16::try_from(port).ok());
        let port = port.ok_or("A porta é um número de 0 a 65535.")?;
        if host.is_empty() {
            return Err("Falta o endereço.".to_owned());
        }
        let found = crate::net::dial::resolve(host, port);
        found.map_err(|error| format!("Não há endereço com o nome {host}: {error}"))
    }
}
