//! The broker and the programs of others: mosquitto's publisher and subscriber, Python's paho.
//!
//! Where they are not installed the tests that need them say so and do nothing, but where
//! `MALHA_CI` is set they fail.

use crate::charging_live::Broker;
use crate::harness::{Program, run};
use std::process::{Command, Stdio};

/// Debian's own, for which its package is; another Python need not have it.
const PYTHON: &str = "/usr/bin/python3";

/// Whether a program is there.
fn has(program: &str, args: &[&str]) -> bool {
    let quiet = || Stdio::null();
    let mut command = Command::new(program);
    let status = command.args(args).stdin(quiet()).stdout(quiet()).stderr(quiet()).status();
    // mosquitto's own help has status 1; Python's is that of the import.
    let is_there = status.is_ok_and(|status| program != PYTHON || status.success());
    if !is_there {
        let what = format!("{program} {} does not run", args.join(" "));
        let how = "its tests are NOT run; install it with `make partners`";
        assert!(std::env::var_os("MALHA_CI").is_none(), "{what}: {how}");
        eprintln!("{what}: {how}");
    }
    is_there
}

fn has_mosquitto() -> bool {
    has("mosquitto_sub", &["--help"]) && has("mosquitto_pub", &["--help"])
}

fn mosquitto_pub(broker: &Broker, args: &[&str], typed: &str) {
    let port = broker.addr.port().to_string();
    let all = [&["-h", "127.0.0.1", "-p", &port, "-V", "mqttv311"], args].concat();
    let outcome = run("mosquitto_pub", &all, typed);
    assert_eq!(outcome, (Some(0), vec![], vec![]), "{args:?}");
}

/// One that has subscribed, ends after so many messages, and fails after 10 s.
fn mosquitto_sub(broker: &mut Broker, count: usize, args: &[&str]) -> Program {
    let (port, count) = (broker.addr.port().to_string(), count.to_string());
    let all = ["-h", "127.0.0.1", "-p", &port, "-V", "mqttv311", "-v", "-W", "10", "-C", &count];
    let subscriber = Program::start("mosquitto_sub", &[&all, args].concat());
    broker.traces("SubAck");
    subscriber
}

#[test]
fn mosquitto_publishes_and_subscribes_at_every_qos() {
    if !has_mosquitto() {
        return;
    }
    let mut broker = Broker::start(&["--trace", "wire"]);
    for said in ["0", "1", "2"] {
        for granted in ["0", "1", "2"] {
            let mut subscriber = mosquitto_sub(&mut broker, 3, &["-t", "casa/#", "-q", granted]);
            mosquitto_pub(&broker, &["-t", "casa/sala", "-q", said, "-l"], "um\ndois\ntrês\n");
            let lines = ["um", "dois", "três"].map(|text| format!("casa/sala {text}"));
            let (code, out, err) = subscriber.ends();
            assert_eq!((code, &out[..], err.len()), (Some(0), &lines[..], 0), "{err:?}");
        }
    }
}

#[test]
fn mosquitto_finds_what_was_retained_what_waited_and_a_will() {
    if !has_mosquitto() {
        return;
    }
    let mut broker = Broker::start(&["--trace", "wire"]);
    mosquitto_pub(&broker, &["-t", "fila/a", "-r", "-q", "1", "-m", "antes"], "");
    let mut subscriber = mosquitto_sub(&mut broker, 1, &["-t", "fila/+", "-q", "2"]);
    subscriber.prints("fila/a antes");
    subscriber.exits(0);
    // A session outlives its connection.
    let session = ["-t", "carta", "-q", "1", "-i", "ana", "-c"];
    mosquitto_sub(&mut broker, 1, &session).signal("-KILL");
    broker.traces("ev=close");
    for text in ["um", "dois"] {
        mosquitto_pub(&broker, &["-t", "carta", "-q", "1", "-m", text], "");
    }
    let mut subscriber = mosquitto_sub(&mut broker, 2, &session);
    subscriber.prints("carta um");
    subscriber.prints("carta dois");
    subscriber.exits(0);
    // Somebody is killed, and his will said.
    let mut heir = mosquitto_sub(&mut broker, 1, &["-t", "adeus", "-q", "1"]);
    let will = ["--will-topic", "adeus", "--will-payload", "fim", "--will-qos", "1", "-t", "x"];
    mosquitto_sub(&mut broker, 1, &will).signal("-KILL");
    heir.prints("adeus fim");
    heir.exits(0);
}

/// Publishes and hears its own at every QoS, and comes back to a session.
const PAHO: &str = r#"
import queue, sys
import paho.mqtt.client as mqtt

def client(clean):
    try:
        one = mqtt.Client(mqtt.CallbackAPIVersion.VERSION1, "py", clean_session=clean)
    except AttributeError:
        one = mqtt.Client("py", clean_session=clean)
    one.events = queue.Queue()
    one.on_connect = lambda c, u, flags, code: one.events.put((code, flags["session present"]))
    one.on_subscribe = lambda c, u, mid, granted: one.events.put(list(granted))
    told = lambda m: (m.topic, m.payload.decode(), m.qos, bool(m.retain))
    one.on_message = lambda c, u, m: one.events.put(told(m))
    one.connect("127.0.0.1", int(sys.argv[1]), keepalive=5)
    one.loop_start()
    return one

def show(one):
    print(one.events.get(timeout=8), flush=True)

one = client(False)
show(one)
one.subscribe([("p/#", 2), ("q", 1)])
show(one)
for qos in 0, 1, 2:
    sent = one.publish("p/%d" % qos, "olá", qos=qos)
    sent.wait_for_publish()
    show(one)
one.publish("q", "x" * 200000, qos=2, retain=True).wait_for_publish()
print(len(one.events.get(timeout=8)[1]), flush=True)
one.disconnect()
one.loop_stop()
one = client(False)
show(one)
one.disconnect()
one.loop_stop()
"#;

#[test]
fn paho_publishes_and_subscribes_at_every_qos() {
    if !has(PYTHON, &["-c", "import paho.mqtt.client"]) {
        return;
    }
    let broker = Broker::start(&[]);
    let port = broker.addr.port().to_string();
    let (code, out, err) = run(PYTHON, &["-W", "ignore", "-c", PAHO, &port], "");
    let expected = [
        "(0, 0)",
        "[2, 1]",
        "('p/0', 'olá', 0, False)",
        "('p/1', 'olá', 1, False)",
        "('p/2', 'olá', 2, False)",
        "200000",
        "(0, 1)",
    ];
    assert_eq!((code, &out[..]), (Some(0), &expected.map(str::to_owned)[..]), "{err:#?}");
}
