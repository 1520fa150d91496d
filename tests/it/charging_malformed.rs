//! Every way in which a packet can be none, by the clause of MQTT 3.1.1 that says so: each is
//! refused, whole or byte by byte, and nothing is taken from that stream any more.

use crate::charging_packets::decoded;
use malha::charging::limits::LEVELS_MAX;

/// What is wrong, and a packet in which it is.
type Table = Vec<(String, Vec<u8>)>;

/// A packet with the right length.
fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut size = body.len();
    while size > 0x7F {
        bytes.push(size as u8 | 0x80);
        size >>= 7;
    }
    bytes.push(size as u8);
    [&bytes[..], body].concat()
}

fn field(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u16).to_be_bytes(), content].concat()
}

/// A CONNECT's body, whose fields need not fit its flags.
fn connect(protocol: &[u8], level: u8, flags: u8, fields: &[&[u8]]) -> Vec<u8> {
    let head = [&field(protocol)[..], &[level, flags, 0, 60]].concat();
    let fields: Vec<u8> = fields.iter().flat_map(|content| field(content)).collect();
    [head, fields].concat()
}

/// One valid packet of each type whose body cannot end earlier.
fn valid() -> Vec<(&'static str, u8, Vec<u8>)> {
    let full = connect(b"MQTT", 4, 0xF6, &[b"ana", b"will/topic", b"gone", b"user", b"word"]);
    let topic = |name: &[u8], rest: &[u8]| [&field(name)[..], rest].concat();
    let with_id = |rest: &[u8]| [&[0, 9], rest].concat();
    vec![
        ("CONNECT", 0x10, full),
        ("CONNACK", 0x20, vec![0, 0]),
        ("PUBLISH at QoS 0", 0x30, topic(b"a/b", b"")),
        ("PUBLISH at QoS 1", 0x32, topic(b"a/b", &[0, 9])),
        ("PUBLISH at QoS 2", 0x34, topic(b"a/b", &[0, 9])),
        ("PUBACK", 0x40, with_id(&[])),
        ("PUBREC", 0x50, with_id(&[])),
        ("PUBREL", 0x62, with_id(&[])),
        ("PUBCOMP", 0x70, with_id(&[])),
        ("SUBSCRIBE", 0x82, with_id(&topic(b"a/+/#", &[1]))),
        ("SUBACK", 0x90, with_id(&[1])),
        ("UNSUBSCRIBE", 0xA2, with_id(&topic(b"a/+/#", &[]))),
        ("UNSUBACK", 0xB0, with_id(&[])),
        ("PINGREQ", 0xC0, vec![]),
        ("PINGRESP", 0xD0, vec![]),
        ("DISCONNECT", 0xE0, vec![]),
    ]
}

/// 2.2.1, 2.2.2 [MQTT-2.2.2-1, MQTT-2.2.2-2]
fn first_bytes(table: &mut Table) {
    for (name, right, body) in valid().iter().filter(|(name, ..)| !name.starts_with("PUBLISH")) {
        for flags in (0..16).filter(|flags| right & 0x0F != *flags) {
            table.push((format!("{name} with flags {flags}"), packet(right & 0xF0 | flags, body)));
        }
    }
    for first in (0x00..0x10).chain(0xF0..=0xFF) {
        table.push((format!("a reserved type: {first:#04x}"), packet(first, &[])));
    }
    for (flags, why) in [
        (0x06, "QoS 3 [MQTT-3.3.1-4]"),
        (0x07, "QoS 3, retained [MQTT-3.3.1-4]"),
        (0x0E, "QoS 3, again [MQTT-3.3.1-4]"),
        (0x0F, "QoS 3, again, retained [MQTT-3.3.1-4]"),
        (0x08, "QoS 0, again [MQTT-3.3.1-2]"),
        (0x09, "QoS 0, again, retained [MQTT-3.3.1-2]"),
    ] {
        let body = [&field(b"a/b")[..], &[0, 9]].concat();
        table.push((format!("PUBLISH with {why}"), packet(0x30 | flags, &body)));
    }
}

/// 2.2.3
fn lengths(table: &mut Table) {
    for (_, first, _) in valid() {
        let bytes = vec![first, 0x80, 0x80, 0x80, 0x80, 0x01];
        table.push((format!("{first:#04x} with a length of five bytes"), bytes));
        let bytes = vec![first, 0xFF, 0xFF, 0xFF, 0x7F];
        table.push((format!("{first:#04x} longer than our limit"), bytes));
    }
}

/// Each ends at each place before its end; the length says so.
fn cut(table: &mut Table) {
    for (name, first, body) in valid() {
        for size in 0..body.len() {
            table.push((format!("{name} of {size} bytes"), packet(first, &body[..size])));
        }
    }
}

fn trailing(table: &mut Table) {
    // What follows in a PUBLISH is its payload.
    for (name, first, body) in valid().iter().filter(|(name, ..)| !name.starts_with("PUBLISH")) {
        for more in [&[3][..], &[0, 3], &[0xFF; 9]] {
            // In a list, more bytes are one more element, which these are not.
            table.push((format!("{name} and {more:?}"), packet(*first, &[body, more].concat())));
        }
    }
}

/// [MQTT-2.3.1-1]
fn ids(table: &mut Table) {
    for (name, first, mut body) in valid() {
        let at = match first >> 4 {
            3 if first & 0x06 != 0 => 5,
            4..=11 => 0,
            _ => continue,
        };
        body[at..at + 2].fill(0);
        table.push((format!("{name} with id 0"), packet(first, &body)));
    }
}

/// 3.1.2
fn connect_flags(table: &mut Table) {
    let all: [&[u8]; 5] = [b"ana", b"t", b"gone", b"user", b"word"];
    let mut add = |why: &str, protocol: &[u8], level, flags, fields: &[&[u8]]| {
        table.push((
            format!("CONNECT: {why}"),
            packet(0x10, &connect(protocol, level, flags, fields)),
        ));
    };
    add("reserved flag [MQTT-3.1.2-3]", b"MQTT", 4, 0x03, &all[..1]);
    add("reserved flag, all others [MQTT-3.1.2-3]", b"MQTT", 4, 0xF7, &all);
    for flags in [0x08, 0x10, 0x18, 0x20, 0x28, 0x30, 0x38] {
        let why = format!("flags {flags:#04x} without a will [MQTT-3.1.2-11, 13, 15]");
        add(&why, b"MQTT", 4, 0x02 | flags, &all[..1]);
    }
    for flags in [0x1E, 0x3E] {
        add("a will of QoS 3 [MQTT-3.1.2-14]", b"MQTT", 4, flags, &all[..3]);
    }
    add("password, no user [MQTT-3.1.2-22]", b"MQTT", 4, 0x42, &[b"ana", b"word"]);
    add("a will's flag and no will [MQTT-3.1.2-9]", b"MQTT", 4, 0x06, &all[..1]);
    add("a will without a message [MQTT-3.1.2-9]", b"MQTT", 4, 0x06, &all[..2]);
    add("user's flag and no user [MQTT-3.1.2-19]", b"MQTT", 4, 0x82, &all[..1]);
    add("password's flag and none [MQTT-3.1.2-21]", b"MQTT", 4, 0xC2, &[b"ana", b"user"]);
    add("a user and no flag [MQTT-3.1.2-18]", b"MQTT", 4, 0x02, &[b"ana", b"user"]);
    add("a password and no flag [MQTT-3.1.2-20]", b"MQTT", 4, 0x82, &[b"ana", b"user", b"word"]);
    add("a will and no flag", b"MQTT", 4, 0x02, &all[..3]);
    add("no client id [MQTT-3.1.3-3]", b"MQTT", 4, 0x02, &[]);
    for protocol in [&b"MQTT\0"[..], b"mqtt", b"MQT", b"MQTTT", b"", b"HTTP", b"MQIsdp"] {
        add("another protocol [MQTT-3.1.2-1]", protocol, 4, 0x02, &all[..1]);
    }
}

/// What is no UTF-8, or may not be in a text [MQTT-1.5.3-1, MQTT-1.5.3-2].
const TEXTS: [&[u8]; 15] = [
    b"\0",
    b"a\0b",
    b"\xFF",
    b"\x80",
    b"a\xC3",
    b"\xC0\x80",
    b"\xC1\xBF",
    b"\xE0\x80\x80",
    b"\xED\xA0\x80",
    b"\xED\xBF\xBF",
    b"\xED\xA0\xBD\xED\xB8\x80",
    b"\xF0\x80\x80\x80",
    b"\xF4\x90\x80\x80",
    b"\xF8\x88\x80\x80\x80",
    b"caf\xE9",
];

fn texts(table: &mut Table) {
    for text in TEXTS {
        let shown = text.escape_ascii();
        let all: [&[u8]; 4] = [b"ana", b"t", b"gone", b"user"];
        for place in [0, 1, 3] {
            let mut fields = all;
            fields[place] = text;
            let body = connect(b"MQTT", 4, 0x86, &fields);
            table.push((format!("CONNECT: field {place} is {shown}"), packet(0x10, &body)));
        }
        in_topics(table, "no text", text, true);
    }
}

/// Where a name or filter stands.
fn in_topics(table: &mut Table, why: &str, topic: &[u8], is_no_filter: bool) {
    let shown = topic.escape_ascii();
    if why != "no filter" {
        let will = connect(b"MQTT", 4, 0x06, &[b"ana", topic, b"gone"]);
        table.push((format!("CONNECT: will on {shown}: {why}"), packet(0x10, &will)));
        table.push((format!("PUBLISH on {shown}: {why}"), packet(0x30, &field(topic))));
        let body = [&field(topic)[..], &[0, 9]].concat();
        table.push((format!("PUBLISH, QoS 2, on {shown}: {why}"), packet(0x34, &body)));
    }
    if is_no_filter {
        let (one, good) = ([&field(topic)[..], &[1]].concat(), [&field(b"a")[..], &[1]].concat());
        for (place, items) in [("first", [&one[..], &good]), ("second", [&good, &one])] {
            let body = [&[0, 9], &items.concat()[..]].concat();
            table.push((format!("SUBSCRIBE, {place}: {shown}: {why}"), packet(0x82, &body)));
        }
        let body = [&[0, 9], &field(topic)[..]].concat();
        table.push((format!("UNSUBSCRIBE {shown}: {why}"), packet(0xA2, &body)));
    }
}

/// 4.7
fn topics(table: &mut Table) {
    in_topics(table, "empty [MQTT-4.7.3-1]", b"", true);
    for name in ["+", "#", "a/+", "a/#", "a+b", "a#", "+/a", "/#", "a/+/b"] {
        let is_no_filter = matches!(name, "a+b" | "a#");
        in_topics(table, "a wildcard [MQTT-3.3.2-2]", name.as_bytes(), is_no_filter);
    }
    for filter in [
        "a+",
        "+a",
        "a/b+/c",
        "#a",
        "a/#b",
        "#/a",
        "a/#/b",
        "##",
        "++",
        "+#",
        "#+",
        "a/##",
        "/+b",
        "#/",
        "a/#/",
        "sport/tennis#",
        "sport/tennis/#/ranking",
        "sport+",
    ] {
        in_topics(table, "no filter", filter.as_bytes(), true);
    }
    let deep = vec!["x"; LEVELS_MAX + 1].join("/");
    in_topics(table, "too many levels", deep.as_bytes(), true);
    in_topics(table, "too many levels", "/".repeat(LEVELS_MAX).as_bytes(), true);
}

/// Lists [MQTT-3.8.3-3, MQTT-3.8.3-4, MQTT-3.9.3-2, MQTT-3.10.3-2], 3.2.2
fn lists_and_codes(table: &mut Table) {
    for (name, first) in [("SUBSCRIBE", 0x82), ("UNSUBSCRIBE", 0xA2), ("SUBACK", 0x90)] {
        table.push((format!("{name} of nothing"), packet(first, &[0, 9])));
    }
    for qos in [3, 4, 0x10, 0x40, 0x80, 0x81, 0xFF] {
        let body = [&[0, 9], &field(b"a")[..], &[qos]].concat();
        table.push((format!("SUBSCRIBE at QoS {qos}"), packet(0x82, &body)));
    }
    for code in [3, 4, 0x7F, 0x81, 0xFF] {
        table.push((format!("SUBACK with {code}"), packet(0x90, &[0, 9, code])));
        table.push((format!("SUBACK with 0, {code}"), packet(0x90, &[0, 9, 0, code])));
    }
    for flags in [2, 3, 0x80, 0xFF] {
        table.push((format!("CONNACK with flags {flags}"), packet(0x20, &[flags, 0])));
    }
    for code in [6, 7, 0x80, 0xFF] {
        table.push((format!("CONNACK with code {code}"), packet(0x20, &[0, code])));
    }
    for code in 1..6 {
        let why = format!("CONNACK: a session for one refused with {code} [MQTT-3.2.2-4]");
        table.push((why, packet(0x20, &[1, code])));
    }
}

fn table() -> Table {
    let mut table = Table::new();
    first_bytes(&mut table);
    lengths(&mut table);
    cut(&mut table);
    trailing(&mut table);
    ids(&mut table);
    connect_flags(&mut table);
    texts(&mut table);
    topics(&mut table);
    lists_and_codes(&mut table);
    table
}

#[test]
fn what_the_table_is_made_of_is_valid() {
    for (name, first, body) in valid() {
        let (packets, flaw) = decoded([&packet(first, &body)[..]]);
        assert_eq!((packets.len(), flaw), (1, None), "{name}");
    }
    let most = "/".repeat(LEVELS_MAX - 1);
    assert_eq!(decoded([&packet(0x30, &field(most.as_bytes()))[..]]).1, None);
}

#[test]
fn every_malformed_packet_is_refused() {
    let table = table();
    assert!(table.len() > 600, "only {} packets", table.len());
    let taken = |bytes: &[u8]| decoded([bytes]).1.is_none() || decoded(bytes.chunks(1)).1.is_none();
    let complaints: Vec<String> = table
        .iter()
        .filter(|(_, bytes)| taken(bytes) || !decoded([&bytes[..]]).0.is_empty())
        .map(|(why, bytes)| format!("{why}: {}", bytes.escape_ascii()))
        .collect();
    assert!(complaints.is_empty(), "{} were taken:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn what_follows_a_malformed_packet_is_not_taken_for_one() {
    for (why, bytes) in table() {
        let all = [&[0xC0, 0][..], &bytes, &[0xC0, 0]].concat();
        let (packets, flaw) = decoded([&all[..], &[0xC0, 0]]);
        assert!(packets.len() == 1 && flaw.is_some(), "{why}: {packets:?}");
    }
}
