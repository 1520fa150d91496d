//! What is due happens also where more is said than the broker or a role takes in.

use crate::charging_clients::{clean, kept, publish, with_will};
use crate::charging_live::Broker;
use crate::charging_packets::{decoder, encoded};
use crate::harness::{Person, WAIT};
use malha::charging::client;
use malha::charging::client::session::Identity;
use malha::charging::protocol::{Code, Connect, Decoder, Packet};
use malha::charging::roles::choice::Rule;
use malha::charging::roles::sector::Sector;
use malha::charging::world::Quadrant;
use malha::net::clock::Clock;
use malha::net::stop::{Stop, stop_pair};
use malha::net::stream::Decode;
use malha::net::trace::{Level, Trace};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Instant;

/// Says the same again and again until it is over.
fn is_loud(mut person: Person, (topic, payload): (&str, &str), over: &Stop) {
    let packets = encoded(&publish(topic, payload, 0, 0)).repeat(1_000);
    // Whoever is told all this may hang up.
    while !over.is_asked() && person.socket.write_all(&packets).is_ok() {}
}

#[test]
fn who_is_silent_ends_with_its_will() {
    let broker = Broker::start(&[]);
    let mut other = broker.join(clean("other"));
    other.subscribes("will", 1);
    let (over, is_over) = stop_pair();
    thread::scope(|scope| {
        let (_over, is_over) = (over, &is_over);
        for name in ["loud", "louder"] {
            let loud = broker.join(clean(name)).person;
            scope.spawn(move || is_loud(loud, ("t", "x"), is_over));
        }
        let gone = with_will(Connect { keep_alive_s: 1, ..kept("gone") }, "will", "gone", 1, false);
        let mut gone = broker.join(gone);
        other.hears(&publish("will", "gone", 1, 1));
        gone.person.ends();
    });
}

/// Waits for a packet that `is_it`, and passes over others.
#[track_caller]
fn heard(person: &mut Person, decoder: &mut Decoder, is_it: impl Fn(&Packet) -> bool) -> Packet {
    let mut bytes = [0; 1024];
    let start = Instant::now();
    while start.elapsed() < WAIT {
        while let Some(packet) = decoder.next() {
            let packet = packet.unwrap();
            if is_it(&packet) {
                return packet;
            }
        }
        let size = person.socket.read(&mut bytes).unwrap();
        assert!(size > 0, "it has hung up");
        decoder.feed(&bytes[..size]);
    }
    panic!("it never came");
}

/// Or a broker ends it.
#[test]
fn a_role_pings() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let clock = Clock::start();
    let config = client::Config {
        broker: vec![listener.local_addr().unwrap()],
        identity: Identity { client: "setor-1".to_owned(), login: None },
        trace: Trace::stderr(Level::Off, clock).unwrap(),
        clock,
    };
    let (over, is_over) = stop_pair();
    thread::scope(|scope| {
        let (_over, is_over, config) = (over, &is_over, &config);
        let sector = Sector::new(Quadrant::ALL[0], Rule::Least);
        scope.spawn(move || client::run(config, sector, &|_, _| {}, is_over));
        let (mut broker, mut decoder) = (Person::accept(&listener), decoder());
        heard(&mut broker, &mut decoder, |packet| matches!(packet, Packet::Connect(_)));
        broker.says_bytes(&encoded(&Packet::ConnAck(false, Code::Accepted)));
        let asked =
            heard(&mut broker, &mut decoder, |packet| matches!(packet, Packet::Subscribe(..)));
        let Packet::Subscribe(id, filters) = asked else { unreachable!() };
        let granted = filters.iter().map(|(_, qos)| Some(*qos)).collect();
        broker.says_bytes(&encoded(&Packet::SubAck(id, granted)));
        let loud = Person { socket: broker.socket.try_clone().unwrap() };
        // It takes longer to be read than to be said.
        let long = format!("[{}1]", "1,".repeat(1_000));
        scope.spawn(move || is_loud(loud, ("fila/posto", &long), is_over));
        heard(&mut broker, &mut decoder, |packet| *packet == Packet::PingReq);
    });
}
