//! Packets, byte by byte (MQTT 3.1.1): there and back, cut anywhere, and as a published codec reads
//! and writes them.

use malha::charging::limits::{LEVELS_MAX, PACKET_BYTES_MAX};
use malha::charging::protocol::{
    Code, Connect, Decoder, LEVEL, Malformed, Message, Packet, Publish, Qos, encode,
};
use malha::net::stream::Decode;
use mqtt5_protocol::packet::{self as other, MqttPacket};
use mqtt5_protocol::{FixedHeader, QoS};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

pub fn decoder() -> Decoder {
    Decoder::new(PACKET_BYTES_MAX, LEVELS_MAX)
}

/// All that comes of some reads.
pub fn decoded<'a>(reads: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Packet>, Option<Malformed>) {
    let mut decoder = decoder();
    let (mut packets, mut flaw) = (Vec::new(), None);
    for read in reads {
        decoder.feed(read);
        while let Some(outcome) = decoder.next() {
            assert!(flaw.is_none(), "more after what is malformed: {outcome:?}");
            match outcome {
                Ok(packet) => packets.push(packet),
                Err(malformed) => flaw = Some(malformed),
            }
        }
    }
    (packets, flaw)
}

pub fn encoded(packet: &Packet) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(packet, &mut bytes);
    bytes
}

fn any_qos() -> impl Strategy<Value = Qos> {
    select(vec![Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce])
}

fn any_id() -> impl Strategy<Value = u16> {
    prop_oneof![1..=u16::MAX, Just(1), Just(255), Just(256), Just(u16::MAX)]
}

fn any_name() -> impl Strategy<Value = String> {
    "[a-z$ é😀]{0,6}(/[a-z$ é]{0,4}){0,4}".prop_filter("not empty", |name| !name.is_empty())
}

fn any_filter() -> impl Strategy<Value = String> {
    let level = prop_oneof!["[a-zé$]{0,4}", Just("+".to_owned())];
    (vec(level, 1..5), any::<bool>()).prop_map(|(mut levels, has_rest)| {
        if has_rest || levels.concat().is_empty() {
            levels.push("#".to_owned());
        }
        levels.join("/")
    })
}

/// Sizes around those where the length takes one more byte (2.2.3).
fn any_payload() -> impl Strategy<Value = Vec<u8>> {
    let sizes = prop_oneof![0..64_usize, 100..140_usize, 16_360..16_400_usize];
    (any::<u8>(), sizes).prop_map(|(first, size)| {
        (0..size).map(|index| (index as u8).wrapping_mul(31).wrapping_add(first)).collect()
    })
}

fn any_publish() -> impl Strategy<Value = Packet> {
    (any_name(), any_payload(), any_qos(), any::<bool>(), any::<bool>(), any_id()).prop_map(
        |(topic, payload, qos, retain, dup, id)| {
            let asks = qos > Qos::AtMostOnce;
            let id = if asks { id } else { 0 };
            let message = Message::new(&topic, &payload);
            Packet::Publish(Publish { message, qos, retain, dup: dup && asks, id })
        },
    )
}

fn any_connect() -> impl Strategy<Value = Packet> {
    let will = option::of((any_name(), vec(any::<u8>(), 0..20), any_qos(), any::<bool>()));
    let user = option::of(("[a-zé]{0,9}", option::of(vec(any::<u8>(), 0..9))));
    ("[a-zA-Z0-9é-]{0,30}", any::<bool>(), any::<u16>(), will, user).prop_map(
        |(client, clean, keep_alive_s, will, user)| {
            let will = will
                .map(|(topic, payload, qos, retain)| (Message::new(&topic, &payload), qos, retain));
            let (user, password) = user.map_or((None, None), |(user, word)| (Some(user), word));
            let level = LEVEL;
            Packet::Connect(Box::new(Connect {
                level,
                clean,
                keep_alive_s,
                client,
                will,
                user,
                password,
            }))
        },
    )
}

fn any_packet() -> impl Strategy<Value = Packet> {
    let codes = (0..6_u8).prop_map(|byte| Code::from_byte(byte).unwrap());
    let granted = vec(option::of(any_qos()), 1..9);
    prop_oneof![
        3 => any_connect(),
        3 => any_publish(),
        1 => any::<bool>().prop_map(|present| Packet::ConnAck(present, Code::Accepted)),
        1 => codes.prop_map(|code| Packet::ConnAck(false, code)),
        1 => any_id().prop_map(Packet::PubAck),
        1 => any_id().prop_map(Packet::PubRec),
        1 => any_id().prop_map(Packet::PubRel),
        1 => any_id().prop_map(Packet::PubComp),
        2 => (any_id(), vec((any_filter(), any_qos()), 1..9))
            .prop_map(|(id, filters)| Packet::Subscribe(id, filters)),
        1 => (any_id(), granted).prop_map(|(id, granted)| Packet::SubAck(id, granted)),
        1 => (any_id(), vec(any_filter(), 1..9))
            .prop_map(|(id, filters)| Packet::Unsubscribe(id, filters)),
        1 => any_id().prop_map(Packet::UnsubAck),
        1 => select(vec![Packet::PingReq, Packet::PingResp, Packet::Disconnect]),
    ]
}

/// What the other codec makes of a packet.
fn by_other(bytes: &[u8]) -> Result<other::Packet, String> {
    let mut rest = bytes;
    let head = FixedHeader::decode(&mut rest).map_err(|error| error.to_string())?;
    let kind = head.packet_type;
    let packet = other::Packet::decode_from_body_with_version(kind, &head, &mut rest, LEVEL);
    assert!(rest.is_empty() || packet.is_err(), "it left {rest:?}");
    packet.map_err(|error| error.to_string())
}

fn qos(qos: QoS) -> Qos {
    Qos::from_bits(qos as u8).unwrap()
}

/// The same in our words.
fn translated(packet: &other::Packet) -> Packet {
    match packet {
        other::Packet::Connect(connect) => Packet::Connect(Box::new(Connect {
            level: connect.protocol_version,
            clean: connect.clean_start,
            keep_alive_s: connect.keep_alive,
            client: connect.client_id.clone(),
            will: connect
                .will
                .as_ref()
                .map(|will| (Message::new(&will.topic, &will.payload), qos(will.qos), will.retain)),
            user: connect.username.clone(),
            password: connect.password.clone(),
        })),
        other::Packet::Publish(publish) => Packet::Publish(Publish {
            message: Message::new(&publish.topic_name, &publish.payload),
            qos: qos(publish.qos),
            retain: publish.retain,
            dup: publish.dup,
            id: publish.packet_id.unwrap_or(0),
        }),
        other::Packet::PubAck(ack) => Packet::PubAck(ack.packet_id),
        other::Packet::PubRec(ack) => Packet::PubRec(ack.packet_id),
        other::Packet::PubRel(ack) => Packet::PubRel(ack.packet_id),
        other::Packet::PubComp(ack) => Packet::PubComp(ack.packet_id),
        other::Packet::Subscribe(subscribe) => {
            let filters = subscribe.filters.iter();
            let filters = filters.map(|topic| (topic.filter.clone(), qos(topic.options.qos)));
            Packet::Subscribe(subscribe.packet_id, filters.collect())
        }
        other::Packet::SubAck(ack) => {
            let granted = ack.reason_codes.iter().map(|code| Qos::from_bits(*code as u8));
            Packet::SubAck(ack.packet_id, granted.collect())
        }
        other::Packet::Unsubscribe(unsubscribe) => {
            Packet::Unsubscribe(unsubscribe.packet_id, unsubscribe.filters.clone())
        }
        other::Packet::UnsubAck(ack) => Packet::UnsubAck(ack.packet_id),
        other::Packet::PingReq => Packet::PingReq,
        other::Packet::PingResp => Packet::PingResp,
        other::Packet::Disconnect(_) => Packet::Disconnect,
        other::Packet::ConnAck(_) | other::Packet::Auth(_) => panic!("not asked for: {packet:?}"),
    }
}

/// As the other codec writes it, where it has a way of 3.1.1 for it.
fn written(packet: &other::Packet) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let outcome = match packet {
        other::Packet::Connect(packet) => packet.encode(&mut bytes),
        other::Packet::Publish(packet) => packet.encode(&mut bytes),
        other::Packet::PubAck(packet) => packet.encode(&mut bytes),
        other::Packet::PubRec(packet) => packet.encode(&mut bytes),
        other::Packet::PubRel(packet) => packet.encode(&mut bytes),
        other::Packet::PubComp(packet) => packet.encode(&mut bytes),
        other::Packet::Subscribe(packet) => packet.encode(&mut bytes),
        other::Packet::SubAck(packet) => packet.encode(&mut bytes),
        other::Packet::Unsubscribe(packet) => packet.encode(&mut bytes),
        other::Packet::UnsubAck(packet) => packet.encode(&mut bytes),
        _ => return None,
    };
    outcome.map(|()| bytes).ok()
}

#[test]
fn a_publish_has_its_bytes_as_the_standard_shows_them() {
    // Figure 3.11 has the topic, 3.3.2.3 the id.
    let message = Message::new("a/b", b"hi");
    let publish = Publish { message, qos: Qos::AtLeastOnce, retain: true, dup: false, id: 10 };
    let expected = [0x33, 9, 0, 3, b'a', b'/', b'b', 0, 10, b'h', b'i'];
    assert_eq!(encoded(&Packet::Publish(publish)), expected);
}

#[test]
fn a_packet_may_be_as_long_as_the_limit_and_no_longer() {
    let of = |bytes: usize| {
        let message = Message::new("t", &vec![7; bytes - 7]);
        let qos = Qos::AtMostOnce;
        let publish = Publish { message, qos, retain: false, dup: false, id: 0 };
        encoded(&Packet::Publish(publish))
    };
    let (most, more) = (of(PACKET_BYTES_MAX), of(PACKET_BYTES_MAX + 1));
    assert_eq!((most.len(), more.len()), (PACKET_BYTES_MAX, PACKET_BYTES_MAX + 1));
    assert_eq!(decoded([&most[..]]).1, None);
    assert_eq!(decoded([&most[..]]).0.len(), 1);
    let refused = Some(Malformed("the packet is too long"));
    assert_eq!(decoded([&more[..]]), (vec![], refused));
    // It is refused before it is there.
    assert_eq!(decoded([&more[..4]]), (vec![], refused));
}

#[test]
fn another_version_is_told_apart_from_nonsense() {
    for (protocol, level) in [("MQTT", 3), ("MQTT", 5), ("MQIsdp", 3), ("MQTT", 0x84)] {
        let mut body = vec![0, protocol.len() as u8];
        body.extend(protocol.as_bytes());
        body.extend([level, 2, 0, 60, 0, 0, 0, 0]);
        let bytes = [&[0x10, body.len() as u8], &body[..]].concat();
        let (packets, flaw) = decoded([&bytes[..]]);
        let [Packet::Connect(connect)] = &packets[..] else { panic!("{packets:?}, {flaw:?}") };
        assert_eq!(connect.level, level);
    }
}

#[test]
fn a_trace_shows_no_password() {
    let mut connect = Connect::new(LEVEL, "ana".to_owned());
    connect.user = Some("ana".to_owned());
    connect.password = Some(b"segredo".to_vec());
    let shown = format!("{:?}", Packet::Connect(Box::new(connect)));
    let as_bytes = format!("{:?}", b"segredo");
    assert!(shown.contains("ana") && !shown.contains("segredo") && !shown.contains(&as_bytes));
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(packet in any_packet()) {
        prop_assert_eq!(decoded([&encoded(&packet)[..]]), (vec![packet], None));
    }

    #[test]
    fn another_codec_reads_and_writes_the_same(packet in any_packet()) {
        let bytes = encoded(&packet);
        let read = by_other(&bytes).map_err(TestCaseError::fail)?;
        if let (Packet::ConnAck(present, code), other::Packet::ConnAck(ack)) = (&packet, &read) {
            prop_assert_eq!(*present, ack.session_present);
            prop_assert_eq!(*code == Code::Accepted, ack.reason_code as u8 == 0);
            return Ok(());
        }
        prop_assert_eq!(translated(&read), packet);
        if let Some(written) = written(&read) {
            prop_assert_eq!(written, bytes);
        }
    }

    #[test]
    fn packets_may_be_joined_and_cut_anywhere(
        packets in vec(any_packet(), 1..6),
        cuts in vec(any::<Index>(), 0..8),
    ) {
        let bytes: Vec<u8> = packets.iter().flat_map(encoded).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let reads = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]);
        prop_assert_eq!(decoded(reads), (packets.clone(), None));
        if bytes.len() < 2_000 {
            prop_assert_eq!(decoded(bytes.chunks(1)), (packets, None));
        }
    }

    #[test]
    fn a_part_of_a_packet_is_neither_a_packet_nor_wrong(packet in any_packet(), cut: Index) {
        let bytes = encoded(&packet);
        prop_assert_eq!(decoded([&bytes[..cut.index(bytes.len())]]), (vec![], None));
    }

    /// What is taken for a packet is one: it has bytes of its own, which mean the same.
    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..300)) {
        let (packets, flaw) = decoded([&bytes[..]]);
        prop_assert_eq!(decoded(bytes.chunks(1)), (packets.clone(), flaw));
        let again: Vec<u8> = packets.iter().flat_map(encoded).collect();
        prop_assert_eq!(decoded([&again[..]]), (packets, None));
    }

    #[test]
    fn a_packet_with_other_bytes_in_it_is_survived(
        packet in any_packet(),
        changes in vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encoded(&packet);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let (packets, _) = decoded([&bytes[..]]);
        // An unknown version's CONNECT is told by its level only.
        let is_other =
            |packet: &Packet| matches!(packet, Packet::Connect(it) if it.level != LEVEL);
        if !packets.iter().any(is_other) {
            let again: Vec<u8> = packets.iter().flat_map(encoded).collect();
            prop_assert_eq!(decoded([&again[..]]), (packets, None));
        }
    }
}
