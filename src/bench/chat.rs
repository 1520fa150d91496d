//! The chat: a message to one, a message to all, and how many arrive at rising rates.

use super::Effort;
use super::child::Server;
use super::table;
use crate::chat::limits::DATAGRAM_BYTES;
use crate::chat::protocol::{EVERYBODY, Id, Kind, Message, SERVER};
use crate::net::failure::Failure;
use crate::net::progress;
use crate::net::stop::{Stop, stop_pair};
use clap::Args;
use socket2::SockRef;
use std::fs;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How `malha bench chat` is called.
#[derive(Debug, Args)]
pub struct ChatArgs {
    #[command(flatten)]
    effort: Effort,
}

/// Clients that each have one private message under way, to themselves.
const PRIVATE_CLIENTS: usize = 10;
/// Clients to whom a message to all goes.
const PUBLIC_CLIENTS: usize = 100;
/// Messages a second, to see how many arrive.
const RATES: [u64; 6] = [5_000, 10_000, 20_000, 50_000, 100_000, 200_000];
/// Messages that are sent at once when a rate is kept.
const BURST_MS: u64 = 1;
/// How long an answer may take; a datagram that is lost would otherwise end the measurement.
const ANSWER_MS_MAX: u64 = 200;
/// How long to wait for what is still on its way.
const LATE_MS: u64 = 300;
/// As much as the server asks for.
const RECEIVE_BYTES: usize = crate::chat::limits::RECEIVE_BYTES;

const WIDTHS: [usize; 6] = [34, 20, 9, 9, 12, 12];

impl ChatArgs {
    /// Measures and prints.
    pub(super) fn run(self, stop: &Stop) -> Result<(), Failure> {
        let failed = || Failure::from_io("the load failed".to_owned());
        table::print(
            &WIDTHS,
            &[&"against bare datagrams", &"ratio", &"reach", &"aim", &"ours/s", &"bare/s"],
        );
        let bar = progress::bar(2 * self.effort.rounds as u64);
        for (name, clients, to_all, reach, aim) in [
            ("private message, 10 clients", PRIVATE_CLIENTS, false, "0.60", "0.80"),
            ("message to all, 100 clients", PUBLIC_CLIENTS, true, "0.80", "0.95"),
        ] {
            let (mut ratios, mut ours, mut theirs) = (vec![], vec![], vec![]);
            for _ in 0..self.effort.rounds {
                let chat = start(stop)?;
                let bare = if to_all { "bare-udp-fan" } else { "bare-udp-echo" };
                let bare = Server::start(stop, &["bench", bare], "listening")?;
                ours.push(exchange(chat.addr, clients, to_all, self.effort.ms).map_err(failed())?);
                theirs
                    .push(exchange(bare.addr, clients, to_all, self.effort.ms).map_err(failed())?);
                ratios.push(ours[ours.len() - 1] / theirs[theirs.len() - 1]);
                bar.inc(1);
            }
            let (ours, theirs) = (table::median(ours), table::median(theirs));
            bar.suspend(|| {
                let (ours, theirs) = (format!("{ours:.0}"), format!("{theirs:.0}"));
                table::print(
                    &WIDTHS,
                    &[&name, &table::spread(&ratios), &reach, &aim, &ours, &theirs],
                );
            });
        }
        bar.finish_and_clear();
        losses(stop)
    }
}

/// How many messages arrive at rising rates, and where loss begins.
fn losses(stop: &Stop) -> Result<(), Failure> {
    let failed = || Failure::from_io("the load failed".to_owned());
    let say = |line: String| table::print(&[60], &[&line]);
    let chat = start(stop)?;
    let mut begins = None;
    for rate in RATES {
        let Delivery { sent, delivered, at_server, at_client, buffer_bytes } =
            deliver(chat.addr, rate).map_err(failed())?;
        if rate == RATES[0] {
            say(format!("receive buffers of {} KiB, bursts of {BURST_MS} ms", buffer_bytes / 1024));
        }
        let share = delivered as f64 / sent as f64 * 100.0;
        let inside = sent.saturating_sub(delivered + at_server + at_client);
        let lost = format!(
            "; lost at the server's socket {at_server}, in it {inside}, at the client's {at_client}"
        );
        let lost = if delivered < sent { lost } else { String::new() };
        say(format!("{sent} messages in 1 s: {delivered} delivered, {share:.2} %{lost}"));
        begins = begins.or((delivered < sent).then_some(sent));
    }
    say(match begins {
        Some(rate) => format!("loss begins below {rate} messages a second"),
        None => "nothing was lost".to_owned(),
    });
    Ok(())
}

/// What came of a rate.
struct Delivery {
    sent: u64,
    delivered: u64,
    /// Lost because a socket's buffer was full.
    at_server: u64,
    at_client: u64,
    /// What the system keeps for a socket, in its own counting.
    buffer_bytes: usize,
}

fn start(stop: &Stop) -> Result<Server, Failure> {
    let args = ["chat", "server", "--listen", "127.0.0.1:0", "--max-rate", "1000000000"];
    Server::start(stop, &args, "listening")
}

/// Somebody with an id.
struct Client {
    socket: UdpSocket,
    id: Id,
}

impl Client {
    fn join(server: SocketAddr, id: Id) -> io::Result<Client> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(Duration::from_millis(ANSWER_MS_MAX)))?;
        let client = Client { socket, id };
        client.socket.send(&client.message(Kind::Hello, SERVER))?;
        client.socket.recv(&mut [0; DATAGRAM_BYTES])?;
        Ok(client)
    }

    fn message(&self, kind: Kind, destination: Id) -> [u8; DATAGRAM_BYTES] {
        let (name, text) = (format!("c{}", self.id), "a text of usual length, for a chat");
        Message { kind, origin: self.id, destination, name, text: text.to_owned() }.encode()
    }
}

/// Messages a second that come back to who sent them: to all, from the one that is served last.
fn exchange(server: SocketAddr, clients: usize, to_all: bool, ms: u64) -> io::Result<f64> {
    let all: Vec<Client> =
        (1..=clients as Id).map(|id| Client::join(server, id)).collect::<Result<_, _>>()?;
    let senders = if to_all { &all[clients - 1..] } else { &all[..] };
    let (stopper, stop) = stop_pair();
    let answered = AtomicU64::new(0);
    thread::scope(|scope| {
        for client in senders {
            let (stop, answered) = (&stop, &answered);
            thread::Builder::new().spawn_scoped(scope, move || {
                let to = if to_all { EVERYBODY } else { client.id };
                let message = client.message(Kind::Text, to);
                while !stop.is_asked() {
                    // What is lost is not counted.
                    let is_sent = client.socket.send(&message).is_ok();
                    if is_sent && client.socket.recv(&mut [0; DATAGRAM_BYTES]).is_ok() {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })?;
        }
        stop.wait(Duration::from_millis(100));
        let (before, start) = (answered.load(Ordering::Relaxed), Instant::now());
        stop.wait(Duration::from_millis(ms));
        let rate =
            (answered.load(Ordering::Relaxed) - before) as f64 / start.elapsed().as_secs_f64();
        drop(stopper);
        Ok(rate)
    })
}

/// Sends for a second at a rate, and counts what arrives.
fn deliver(server: SocketAddr, rate: u64) -> io::Result<Delivery> {
    let (from, to) = (Client::join(server, 1)?, Client::join(server, 2)?);
    SockRef::from(&to.socket).set_recv_buffer_size(RECEIVE_BYTES)?;
    let buffer_bytes = SockRef::from(&to.socket).recv_buffer_size()?;
    let message = from.message(Kind::Text, to.id);
    let addrs = [server, to.socket.local_addr()?];
    let before = addrs.map(overruns);
    let (stopper, stop) = stop_pair();
    thread::scope(|scope| {
        let receiver = thread::Builder::new().spawn_scoped(scope, || {
            let mut delivered = 0;
            loop {
                match to.socket.recv(&mut [0; DATAGRAM_BYTES]) {
                    Ok(_) => delivered += 1,
                    Err(_) if stop.is_asked() => return delivered,
                    Err(_) => {}
                }
            }
        })?;
        let (start, mut sent) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_secs(1) {
            let due = start.elapsed().as_millis() as u64 * rate / 1_000;
            while sent < due {
                from.socket.send(&message)?;
                sent += 1;
            }
            stop.wait(Duration::from_millis(BURST_MS));
        }
        stop.wait(Duration::from_millis(LATE_MS));
        drop(stopper);
        let delivered = receiver.join().map_err(|_| io::Error::other("the receiver panicked"))?;
        let [at_server, at_client] = addrs.map(overruns);
        let (at_server, at_client) = (at_server - before[0], at_client - before[1]);
        for client in [&from, &to] {
            client.socket.send(&client.message(Kind::Bye, SERVER))?;
        }
        Ok(Delivery { sent, delivered, at_server, at_client, buffer_bytes })
    })
}

/// Datagrams that found the buffer of a socket of IPv4 full, so far, as Linux counts them: the last
/// field of its line in `/proc/net/udp`, in which the second ends in its port.
fn overruns(addr: SocketAddr) -> u64 {
    let port = format!(":{:04X}", addr.port());
    let table = fs::read_to_string("/proc/net/udp").unwrap_or_default();
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line = lines.find(|fields| fields.get(1).is_some_and(|local| local.ends_with(&port)));
    line.and_then(|fields| fields.last()?.parse().ok()).unwrap_or(0)
}
