//! The broker's program over real sockets: those who are slow, silent, gone or too many.

use crate::charging_clients::{again, clean, kept, publish, publishing, subscribe, with_will};
use crate::charging_packets::{decoder, encoded};
use crate::command_server::MALHA;
use crate::folder::Folder;
use crate::harness::{Person, Program, WAIT, run, until, until_at_most};
use malha::charging::limits::PACKET_BYTES_MAX;
use malha::charging::protocol::{Code, Connect, Decoder, Packet, Qos};
use malha::net::stream::Decode;
use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::time::Instant;

/// A broker that listens.
pub struct Broker {
    pub program: Program,
    pub addr: SocketAddr,
}

impl Broker {
    #[track_caller]
    pub fn start(more: &[&str]) -> Broker {
        Broker::start_at("127.0.0.1:0", more)
    }

    #[track_caller]
    pub fn start_at(listen: &str, more: &[&str]) -> Broker {
        let args = ["charging", "broker", "--listen", listen];
        let mut program = Program::start(MALHA, &[&args, more].concat());
        let head = "listening on ";
        let line = program.prints_one(head, |line| line.starts_with(head));
        let addr = line[head.len()..].parse().unwrap();
        Broker { program, addr }
    }

    #[track_caller]
    pub fn connect(&self) -> Client {
        Client { person: Person::connect(self.addr), decoder: decoder() }
    }

    /// A client that is in, with a session of its own.
    #[track_caller]
    pub fn join(&self, connect: Connect) -> Client {
        let mut client = self.connect();
        client.says(&Packet::Connect(Box::new(connect)));
        client.hears(&Packet::ConnAck(false, Code::Accepted));
        client
    }

    /// Waits for a line of the trace.
    #[track_caller]
    pub fn traces(&mut self, what: &str) {
        while !self.program.complains().contains(what) {}
    }

    /// Ends it in order; what it still said on standard error.
    #[track_caller]
    pub fn stop(&mut self) -> Vec<String> {
        self.program.signal("-INT");
        let (code, _, err) = self.program.ends();
        assert_eq!(code, Some(0), "{err:#?}");
        err
    }
}

/// A client of which every byte is known.
pub struct Client {
    pub person: Person,
    decoder: Decoder,
}

impl Client {
    pub fn says(&mut self, packet: &Packet) {
        self.person.says_bytes(&encoded(packet));
    }

    #[track_caller]
    pub fn next(&mut self) -> Packet {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            if let Some(packet) = self.decoder.next() {
                return packet.unwrap();
            }
            let size = self.person.socket.read(&mut bytes).unwrap();
            assert!(size > 0, "the broker hung up");
            self.decoder.feed(&bytes[..size]);
        }
    }

    #[track_caller]
    pub fn hears(&mut self, packet: &Packet) {
        assert_eq!(&self.next(), packet);
    }

    #[track_caller]
    pub fn subscribes(&mut self, filter: &str, qos: u8) {
        self.says(&subscribe(9, &[(filter, qos)]));
        self.hears(&Packet::SubAck(9, vec![Qos::from_bits(qos)]));
    }

    /// It is there, and all before it was heard.
    #[track_caller]
    pub fn pings(&mut self) {
        self.says(&Packet::PingReq);
        self.hears(&Packet::PingResp);
    }
}

#[test]
fn packets_may_come_byte_by_byte() {
    let broker = Broker::start(&[]);
    let mut client = broker.connect();
    let packets = [
        Packet::Connect(Box::new(clean("slow"))),
        subscribe(1, &[("t", 1)]),
        publish("t", "x", 1, 2),
    ];
    for byte in packets.iter().flat_map(encoded) {
        client.person.says_bytes(&[byte]);
    }
    client.hears(&Packet::ConnAck(false, Code::Accepted));
    client.hears(&Packet::SubAck(1, vec![Some(Qos::AtLeastOnce)]));
    client.hears(&Packet::PubAck(2));
    client.hears(&publish("t", "x", 1, 1));
}

#[test]
fn a_malformed_packet_ends_its_own_connection_only() {
    let mut broker = Broker::start(&["--trace", "events"]);
    let mut other = broker.join(clean("other"));
    let mut client = broker.join(clean("bad"));
    client.person.says_bytes(&[0x36, 3, 0, 1, b't']);
    client.person.ends();
    broker.traces("ev=cut link=p2 why=Malformed(Malformed(\"there is no QoS 3\"))");
    let mut web = broker.connect();
    web.person.says("GET / HTTP/1.1\r");
    web.person.ends();
    other.pings();
    drop(other);
    let err = broker.stop();
    assert!(err.iter().any(|line| line.contains("malformed=2")), "{err:#?}");
}

#[test]
fn a_packet_at_the_limit_passes_and_one_past_it_does_not() {
    let broker = Broker::start(&[]);
    let mut client = broker.join(clean("big"));
    client.subscribes("t", 0);
    let most = publishing("t", &vec![7; PACKET_BYTES_MAX - 7], 0, 0, false, false);
    assert_eq!(encoded(&most).len(), PACKET_BYTES_MAX);
    client.says(&most);
    client.hears(&most);
    let more = publishing("t", &vec![7; PACKET_BYTES_MAX - 6], 0, 0, false, false);
    // It may hang up before all is written.
    let _ = std::io::Write::write_all(&mut client.person.socket, &encoded(&more));
    client.person.ends();
}

#[test]
fn one_client_too_many_is_told_that_there_is_no_room_and_counted() {
    let mut broker = Broker::start(&["--max-connections", "2"]);
    let first = broker.join(clean("a"));
    let _second = broker.join(clean("b"));
    let mut third = broker.connect();
    third.hears(&Packet::ConnAck(false, Code::ServerUnavailable));
    third.person.ends();
    drop(first);
    let mut refused = 1;
    until("a place", || {
        let mut client = broker.connect();
        client.says(&Packet::Connect(Box::new(clean("c"))));
        refused += 1;
        (client.next() == Packet::ConnAck(false, Code::Accepted)).then(|| refused -= 1)
    });
    assert_eq!(broker.stop(), [format!("refused={refused}")]);
}

#[test]
fn only_a_right_password_opens_the_door() {
    let folder = Folder::new();
    let users = folder.at("users.txt");
    let added = run(MALHA, &["command", "adduser", "--users", &users, "ana"], "segredo\n");
    assert_eq!(added.0, Some(0), "{added:?}");
    let mut broker = Broker::start(&["--users", &users, "--trace", "wire"]);
    let named = |word: &str| {
        let (user, password) = (Some("ana".to_owned()), Some(word.as_bytes().to_vec()));
        Connect { user, password, ..clean("ana") }
    };
    let mut ana = broker.join(named("segredo"));
    for (connect, code) in
        [(named("outra-9f3"), Code::BadUserOrPassword), (clean("rui"), Code::NotAuthorized)]
    {
        let mut client = broker.connect();
        client.says(&Packet::Connect(Box::new(connect)));
        client.hears(&Packet::ConnAck(false, code));
        client.person.ends();
    }
    ana.pings();
    drop(ana);
    let err = broker.stop().join("\n");
    assert!(!err.contains("segredo") && !err.contains("outra-9f3"), "{err}");
}

#[test]
fn a_subscriber_that_never_reads_delays_nobody_and_is_cut() {
    let mut broker = Broker::start(&["--max-queued", "10"]);
    let mut deaf = broker.join(clean("deaf"));
    deaf.subscribes("t", 0);
    let mut reader = broker.join(clean("reader"));
    reader.subscribes("t", 0);
    let mut speaker = broker.join(clean("speaker"));
    let message = publishing("t", &vec![7; 100_000], 0, 0, false, false);
    let start = Instant::now();
    for _ in 0..200 {
        speaker.says(&message);
        reader.hears(&message);
    }
    assert!(start.elapsed() < WAIT, "it took {:?}", start.elapsed());
    let sockets = fs::read_dir(format!("/proc/{}/fd", broker.program.pid())).unwrap().count();
    // Each write has its time, and the first ones still find room in the system's buffers.
    until_at_most(4 * WAIT, "the end of who never reads", || {
        speaker.says(&message);
        reader.hears(&message);
        let now = fs::read_dir(format!("/proc/{}/fd", broker.program.pid())).unwrap().count();
        (now < sockets).then_some(())
    });
    reader.pings();
    speaker.pings();
    drop((reader, speaker));
    let err = broker.stop();
    assert!(err.iter().any(|line| line.contains("dropped-qos0=")), "{err:#?}");
}

#[test]
fn who_asks_and_never_reads_is_cut() {
    let mut broker = Broker::start(&["--trace", "events"]);
    let mut deaf = broker.join(clean("deaf"));
    let mut other = broker.join(clean("other"));
    let questions = [0xC0, 0].repeat(50_000);
    let mut little = [0; 4096];
    // It hangs up before all is written. What is read now and then lets the broker's writer go on,
    // which would end the connection on a busy machine before there is too much to say.
    while std::io::Write::write_all(&mut deaf.person.socket, &questions).is_ok() {
        let _ = deaf.person.socket.read(&mut little);
        other.pings();
    }
    broker.traces("ev=cut link=p1 why=unread");
    broker.traces("ev=close link=p1");
    other.pings();
    drop(other);
    let err = broker.stop();
    assert!(err.iter().any(|line| line.ends_with("unread=1")), "{err:#?}");
}

/// Its machine is gone: no packet says so.
#[test]
fn a_half_open_connection_ends_with_its_keep_alive_and_its_will_is_said() {
    let broker = Broker::start(&[]);
    let mut other = broker.join(clean("other"));
    other.subscribes("will", 1);
    let gone = with_will(Connect { keep_alive_s: 1, ..kept("gone") }, "will", "gone", 1, false);
    let mut gone = broker.join(gone);
    other.hears(&publish("will", "gone", 1, 1));
    gone.person.ends();
}

/// One that promised no keep alive can only be found out by the system: in its table, the timer 2
/// of an established connection (1) is the one that asks.
#[test]
fn the_system_asks_after_who_promised_no_keep_alive() {
    let broker = Broker::start(&[]);
    let _quiet = broker.join(Connect { keep_alive_s: 0, ..clean("quiet") });
    let ours = format!("0100007F:{:04X}", broker.addr.port());
    until("the timer", || {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let mut rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
        rows.find(|row| row[1] == ours && row[3] == "01" && row[5].starts_with("02:")).map(drop)
    });
}

#[test]
fn a_takeover_in_the_middle_of_qos_2() {
    let broker = Broker::start(&[]);
    let mut reader = broker.join(clean("reader"));
    reader.subscribes("t", 2);
    let mut old = broker.join(kept("ana"));
    old.says(&publish("t", "once", 2, 7));
    old.hears(&Packet::PubRec(7));
    let mut new = broker.connect();
    new.says(&Packet::Connect(Box::new(kept("ana"))));
    new.hears(&Packet::ConnAck(true, Code::Accepted));
    old.person.ends();
    new.says(&again("t", "once", 2, 7));
    new.hears(&Packet::PubRec(7));
    new.says(&Packet::PubRel(7));
    new.hears(&Packet::PubComp(7));
    reader.hears(&publish("t", "once", 2, 1));
    reader.pings();
}

#[test]
fn two_brokers_at_one_port_are_one_too_many() {
    let broker = Broker::start(&[]);
    let addr = broker.addr.to_string();
    let (code, out, err) = run(MALHA, &["charging", "broker", "--listen", &addr], "");
    assert_eq!((code, out.len(), err.len()), (Some(1), 0, 1), "{out:?} {err:?}");
    assert!(err[0].starts_with(&format!("error: cannot listen on {addr}: ")), "{err:?}");
}

#[test]
fn ctrl_c_ends_it_with_people_inside_and_its_port_is_free_at_once() {
    let mut broker = Broker::start(&[]);
    for _ in 0..3 {
        let mut client = broker.join(clean("reader"));
        client.subscribes("#", 2);
        let _new = broker.connect();
        let start = Instant::now();
        broker.stop();
        assert!(start.elapsed() < WAIT / 2, "{:?}", start.elapsed());
        client.person.ends();
        // Sessions are in memory, so nobody is known; the same port is taken again.
        broker = Broker::start_at(&broker.addr.to_string(), &[]);
        broker.join(kept("reader"));
    }
}

#[test]
fn a_broker_that_is_killed_is_up_again_at_once() {
    let mut broker = Broker::start(&[]);
    for _ in 0..3 {
        let mut client = broker.join(kept("ana"));
        client.subscribes("t", 1);
        broker.program.signal("-KILL");
        assert_eq!(broker.program.exit(), None);
        client.person.ends();
        broker = Broker::start_at(&broker.addr.to_string(), &[]);
    }
}

#[test]
fn nothing_is_left_of_those_who_went() {
    let broker = Broker::start(&[]);
    let pid = broker.program.pid();
    let count = |what: &str| fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count();
    broker.join(clean("first")).pings();
    let before = until("its end", || (count("task") < 7).then(|| (count("fd"), count("task"))));
    for round in 0..100 {
        let mut client = broker.connect();
        match round % 4 {
            0 => {}
            1 => client.says(&Packet::Connect(Box::new(kept("ana")))),
            2 => client.says(&Packet::PingReq),
            _ => {
                let mut client = broker.join(clean("rui"));
                client.subscribes("t", 1);
                client.says(&Packet::Disconnect);
            }
        }
    }
    until("as much as before", || {
        (count("fd") <= before.0 && count("task") <= before.1).then_some(())
    });
}
