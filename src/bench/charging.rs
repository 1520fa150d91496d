//! The broker, against mosquitto with the same load.

use super::Effort;
use super::child::{Minded, Server};
use super::scratch::Scratch;
use super::table;
use crate::charging::limits::IN_FLIGHT_MAX;
use crate::charging::protocol::{
    Connect, LEVEL, Message, Packet, PacketId, Publish, Qos, encode, encode_publish,
};
use crate::net::failure::Failure;
use crate::net::progress;
use crate::net::stop::{Stop, stop_pair};
use crate::net::stream;
use clap::Args;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How `malha bench charging` is called.
#[derive(Debug, Args)]
pub struct ChargingArgs {
    #[command(flatten)]
    effort: Effort,
    /// The broker to compare with
    #[arg(long, value_name = "PROGRAM", default_value = "mosquitto")]
    mosquitto: String,
}

/// One publisher, so many subscribers, so many messages that not all of them have yet.
struct Row {
    name: &'static str,
    subscribers: usize,
    under_way: u64,
    qos: Qos,
    goal: Option<(&'static str, &'static str)>,
}

const ROWS: [Row; 6] = [
    row("QoS 0, 1 to 1, 500 under way", 1, 500, Qos::AtMostOnce, Some(("8.00", "25.00"))),
    row("QoS 0, 1 to 10, 500 under way", 10, 500, Qos::AtMostOnce, Some(("8.00", "25.00"))),
    row("QoS 0, 1 to 1, 1 under way", 1, 1, Qos::AtMostOnce, Some(("1.00", "1.20"))),
    row("QoS 0, 1 to 10, 1 under way", 10, 1, Qos::AtMostOnce, Some(("1.00", "1.20"))),
    row("QoS 1, 1 to 1, 500 under way", 1, 500, Qos::AtLeastOnce, Some(("1.00", "2.00"))),
    row("QoS 1, 1 to 1, 1 under way", 1, 1, Qos::AtLeastOnce, Some(("1.00", "2.00"))),
];

const fn row(
    name: &'static str,
    subscribers: usize,
    under_way: u64,
    qos: Qos,
    goal: Option<(&'static str, &'static str)>,
) -> Row {
    Row { name, subscribers, under_way, qos, goal }
}

const WIDTHS: [usize; 6] = [32, 22, 7, 7, 12, 14];
/// What a station says, on its topic.
const TOPIC: &str = "fila/posto";
const PAYLOAD: &[u8] = b"{\"station-id\":\"posto-1\",\"station-latitude\":99,\
    \"station-longitude\":73,\"queue-size\":3}";
/// How soon a thread that waits looks whether it is over.
const LOOK_MS: u64 = 20;
/// How long mosquitto may take to start.
const START_MS_MAX: u64 = 5_000;

impl ChargingArgs {
    /// Measures and prints.
    pub(super) fn run(self, stop: &Stop) -> Result<(), Failure> {
        let failed = || Failure::from_io("the load failed".to_owned());
        let args = ["charging", "broker", "--listen", "127.0.0.1:0"];
        let ours = Server::start(stop, &args, "listening")?;
        let theirs = Mosquitto::start(&self.mosquitto, stop)?;
        table::print(
            &WIDTHS,
            &[&"against mosquitto", &"ratio", &"reach", &"aim", &"ours/s", &"mosquitto/s"],
        );
        let bar = progress::bar((ROWS.len() * self.effort.rounds) as u64);
        for row in &ROWS {
            let (mut ratios, mut our_rates, mut their_rates) = (vec![], vec![], vec![]);
            for _ in 0..self.effort.rounds {
                let our_rate = delivered(ours.addr, row, self.effort.ms).map_err(failed())?;
                let their_rate = delivered(theirs.addr, row, self.effort.ms).map_err(failed())?;
                ratios.push(our_rate / their_rate);
                our_rates.push(our_rate);
                their_rates.push(their_rate);
                bar.inc(1);
            }
            let (reach, aim) = row.goal.unwrap_or(("-", "-"));
            let show = |rates| format!("{:.0}", table::median(rates));
            let (ours, theirs) = (show(our_rates), show(their_rates));
            bar.suspend(|| {
                let ratio = table::spread(&ratios);
                table::print(&WIDTHS, &[&row.name, &ratio, &reach, &aim, &ours, &theirs]);
            });
        }
        bar.finish_and_clear();
        super::compare::idle_cpu(&[&ours]);
        Ok(())
    }
}

/// A mosquitto of our own, killed when dropped.
struct Mosquitto {
    _child: Minded,
    addr: SocketAddr,
    _config: Scratch,
}

impl Mosquitto {
    /// With as many unacknowledged messages as ours, and no other limit.
    fn start(program: &str, stop: &Stop) -> Result<Mosquitto, Failure> {
        let what = || format!("cannot start {program} (`make partners` installs it)");
        let failed = || Failure::from_io(what());
        // A port that was free a moment ago; mosquitto cannot be told to choose one.
        let addr = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let addr = addr.map_err(failed())?;
        let name = format!("malha-mosquitto-{}.conf", std::process::id());
        let config = Scratch::file(std::env::temp_dir().join(name)).map_err(failed())?;
        let text = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n\
             max_inflight_messages {IN_FLIGHT_MAX}\nmax_queued_messages 0\nlog_type none\n",
            addr.port()
        );
        fs::write(config.path(), text).map_err(failed())?;
        let mut command = Command::new(program);
        command.arg("-c").arg(config.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let (child, _) = Minded::start(&mut command, stop).map_err(failed())?;
        let broker = Mosquitto { _child: child, addr, _config: config };
        let start = Instant::now();
        while TcpStream::connect(addr).is_err() {
            let is_over = stop.wait(Duration::from_millis(LOOK_MS));
            if is_over || start.elapsed() > Duration::from_millis(START_MS_MAX) {
                return Err(Failure { what: what(), why: "it does not listen".to_owned() });
            }
        }
        Ok(broker)
    }
}

/// Messages delivered in a second, to all subscribers together.
fn delivered(broker: SocketAddr, row: &Row, ms: u64) -> io::Result<f64> {
    let frame = frame(row.qos, 1);
    let mut subscribers = Vec::new();
    for index in 0..row.subscribers {
        subscribers.push(subscriber(broker, &format!("bench-{index}"), row.qos)?);
    }
    let publisher = join(broker, "bench-publisher")?;
    let counts: Vec<AtomicU64> = subscribers.iter().map(|_| AtomicU64::new(0)).collect();
    let (stopper, stop) = stop_pair();
    thread::scope(|scope| {
        let sender = thread::Builder::new()
            .spawn_scoped(scope, || publish(&publisher, row, &counts, &stop))?;
        let wake = sender.thread().clone();
        for (socket, count) in subscribers.iter().zip(&counts) {
            let (wake, stop, size) = (wake.clone(), &stop, frame.len());
            thread::Builder::new()
                .spawn_scoped(scope, move || receive(socket, row.qos, size, count, &wake, stop))?;
        }
        thread::Builder::new().spawn_scoped(scope, || drain(&publisher, &stop))?;
        let total = || counts.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>();
        stop.wait(Duration::from_millis(200));
        let (before, start) = (total(), Instant::now());
        stop.wait(Duration::from_millis(ms));
        let rate = (total() - before) as f64 / start.elapsed().as_secs_f64();
        drop(stopper);
        Ok(rate)
    })
}

fn frame(qos: Qos, id: PacketId) -> Vec<u8> {
    let message = Message::new(TOPIC, PAYLOAD);
    let mut bytes = Vec::new();
    encode_publish(&Publish { message, qos, retain: false, dup: false, id }, &mut bytes);
    bytes
}

fn join(broker: SocketAddr, client: &str) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect(broker)?;
    stream::prepare(&socket)?;
    let mut bytes = Vec::new();
    encode(&Packet::Connect(Box::new(Connect::new(LEVEL, client.to_owned()))), &mut bytes);
    socket.write_all(&bytes)?;
    // CONNACK.
    socket.read_exact(&mut [0; 4])?;
    Ok(socket)
}

fn subscriber(broker: SocketAddr, client: &str, qos: Qos) -> io::Result<TcpStream> {
    let mut socket = join(broker, client)?;
    let mut bytes = Vec::new();
    encode(&Packet::Subscribe(1, vec![(TOPIC.to_owned(), qos)]), &mut bytes);
    socket.write_all(&bytes)?;
    // SUBACK.
    socket.read_exact(&mut [0; 5])?;
    socket.set_read_timeout(Some(Duration::from_millis(LOOK_MS)))?;
    Ok(socket)
}

/// Keeps so many messages under way.
fn publish(mut socket: &TcpStream, row: &Row, counts: &[AtomicU64], stop: &Stop) {
    let (mut sent, mut id, mut bytes) = (0, 0_u16, Vec::new());
    let fixed = frame(row.qos, 1);
    while !stop.is_asked() {
        let received = counts.iter().map(|count| count.load(Ordering::Relaxed)).min();
        let room = row.under_way.saturating_sub(sent - received.unwrap_or(0));
        if room == 0 {
            thread::park_timeout(Duration::from_millis(LOOK_MS));
            continue;
        }
        bytes.clear();
        for _ in 0..room {
            if row.qos == Qos::AtMostOnce {
                bytes.extend_from_slice(&fixed);
            } else {
                id = id.checked_add(1).unwrap_or(1);
                bytes.extend(frame(row.qos, id));
            }
        }
        sent += room;
        if socket.write_all(&bytes).is_err() {
            return;
        }
    }
}

/// Counts what arrives, and acknowledges it.
fn receive(
    mut socket: &TcpStream,
    qos: Qos,
    size: usize,
    count: &AtomicU64,
    publisher: &Thread,
    stop: &Stop,
) {
    let mut bytes = vec![0; 64 * 1024];
    let (mut filled, mut acks) = (0, Vec::new());
    while !stop.is_asked() {
        match socket.read(&mut bytes[filled..]) {
            Ok(0) => return,
            Ok(more) => filled += more,
            Err(error) if stream::is_late(&error) => continue,
            Err(_) => return,
        }
        let whole = filled / size;
        if qos > Qos::AtMostOnce {
            acks.clear();
            for frame in bytes.chunks_exact(size).take(whole) {
                // Behind the topic, whose length stands before it.
                let at = 4 + TOPIC.len();
                acks.extend([0x40, 2, frame[at], frame[at + 1]]);
            }
            if socket.write_all(&acks).is_err() {
                return;
            }
        }
        bytes.copy_within(whole * size..filled, 0);
        filled -= whole * size;
        count.fetch_add(whole as u64, Ordering::Relaxed);
        publisher.unpark();
    }
}

/// Reads what a publisher is told.
fn drain(mut socket: &TcpStream, stop: &Stop) {
    // Fails only if the socket is gone, which reading shows as well.
    let _ = socket.set_read_timeout(Some(Duration::from_millis(LOOK_MS)));
    let mut bytes = [0; 4096];
    while !stop.is_asked() {
        match socket.read(&mut bytes) {
            Ok(0) => return,
            Err(error) if !stream::is_late(&error) => return,
            _ => {}
        }
    }
}
